//! `up`: everything, until Ctrl-C.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use container::heap;
use local_cloud::{Cloud, CloudError, Conditions, Listeners, Stack};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal;

use crate::cli::Up;
use crate::hops::Hops;
use crate::stack::{Parts, stack};

pub(crate) fn run(up: &Up) -> anyhow::Result<()> {
    // Strips pass through, many at once.
    heap::limit_arenas();
    heap::return_large_blocks();
    let hops = Hops::default();
    hops.install();
    runtime()?.block_on(async {
        let stack = stack(&Parts {
            model: up.model.as_deref(),
            model_server: up.model_server.as_deref(),
            functions: up.functions.as_deref(),
            ages: up.ages.clone(),
        })?;
        let conditions = Conditions { faults: up.chaos.clone(), ..Conditions::default() };
        let cloud = start(&stack, &up.data, up.port, up.aws_port, conditions).await?;
        announce(&cloud, up)?;
        hops.start();
        until_told_to_stop().await?;
        eprintln!("stopping; whatever is not done is taken up by the next `up`");
        cloud.stop().await;
        Ok(())
    })
}

/// Two threads: the work is done by child processes.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("the asynchronous runtime cannot start")
}

/// Starts the whole pipeline over a data folder; port 0 stands for any free one.
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
        if is_of_folder { error.context(format!("--data {}", data.display())) } else { error }
    })
}

async fn bind(port: u16, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port))
        .await
        .with_context(|| format!("port {port} cannot be used: choose another with {option}, or 0 for any free one"))
}

fn announce(cloud: &Cloud, up: &Up) -> anyhow::Result<()> {
    let api = format!("http://{}", cloud.api_address());
    let aws = format!("http://{}", cloud.aws_address());
    let mut stdout = std::io::stdout();
    if up.json {
        writeln!(stdout, "{}", json!({"api": api, "aws": aws, "pid": std::process::id()}))?;
    } else {
        writeln!(stdout, "Time Traveler is up. Ctrl-C stops it.\n")?;
        writeln!(stdout, "  page  {api}/")?;
        writeln!(stdout, "  API   {api}   curl -T photo.jpg {api}/images/ada; curl '{api}/jobs/ada?wait=20'")?;
        writeln!(stdout, "  AWS   {aws}   export AWS_ENDPOINT_URL={aws}")?;
        writeln!(
            stdout,
            "  data  {}   logs of functions and model server: {}",
            up.data.display(),
            up.data.join("logs").display()
        )?;
        if let Some(plan) = &up.chaos {
            let history = up.data.join("logs/faults.log");
            writeln!(stdout, "\nThings go wrong by plan: {plan}; what did is in {}", history.display())?;
        }
        if up.model.is_none() && up.model_server.is_none() {
            writeln!(
                stdout,
                "\nWithout --model the preview engine makes the pictures: a sketch of what the model makes."
            )?;
        }
        writeln!(stdout)?;
    }
    Ok(stdout.flush()?)
}

async fn until_told_to_stop() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        let mut terminated = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = signal::ctrl_c() => interrupted?,
            _ = terminated.recv() => {}
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await?;
    Ok(())
}
