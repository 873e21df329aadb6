//! The asynchronous runtime of commands that talk to servers.

use anyhow::Context;

/// A runtime of two threads: child processes and servers do the work.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("the asynchronous runtime cannot start")
}
