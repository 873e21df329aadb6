//! The stack on this machine: the local cloud, listening.

use std::path::Path;

use anyhow::Context;
use local_cloud::{Cloud, CloudError, Conditions, Listeners, Stack};
use tokio::net::TcpListener;

use crate::escape::Shown;

/// Starts a stack with its state in the folder `data`. Port 0 stands for any free port.
///
/// # Errors
/// Where a port or the folder cannot be used.
pub(crate) async fn start(
    stack: &Stack,
    data: &Path,
    port: u16,
    aws_port: u16,
    conditions: Conditions,
) -> anyhow::Result<Cloud> {
    let listeners = Listeners { api: bind(port, "--port").await?, aws: bind(aws_port, "--aws-port").await? };
    Cloud::start(stack, data, listeners, conditions).await.map_err(|error| {
        let is_of_folder = matches!(error, CloudError::DataFolder { .. } | CloudError::DataFolderInUse(_));
        let error = anyhow::Error::new(error);
        if is_of_folder { error.context(format!("--data {}", data.shown())) } else { error }
    })
}

async fn bind(port: u16, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port))
        .await
        .with_context(|| format!("port {port} cannot be used: choose another with {option}, or 0 for any free port"))
}
