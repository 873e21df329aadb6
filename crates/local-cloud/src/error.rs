//! Why a cloud cannot start, and how an error is written together with its causes.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::stack::StackError;

/// Why a cloud cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The data folder, or a file in it, cannot be used.
    #[error("the data folder {path} cannot be used: choose one that can be written to")]
    DataFolder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Another process works on the data folder.
    #[error("the data folder {0} is in use by another process: stop that one, or choose another folder")]
    DataFolderInUse(PathBuf),
    /// The file of objects, queues and SageMaker's records cannot be used.
    #[error("the journal {path} cannot be used")]
    Journal {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// A database's structure is damaged.
    #[error(
        "the database {path} is damaged ({problem}): put a copy of it back, or move it and its -wal, -shm and -mark files away; \
         {without}"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        problem: String,
        /// What a start without it does.
        without: &'static str,
    },
    /// The queues cannot be read.
    #[error("the queues cannot be read")]
    Backlog(#[source] rusqlite::Error),
    /// DynamoDB cannot open its database.
    #[error("DynamoDB cannot start")]
    DynamoDb(#[source] dynoxide::DynoxideError),
    /// The numbers of items that the metrics show cannot be kept.
    #[error("the tallies in {path} cannot be used")]
    Tallies {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// DynamoDB cannot create a table of the stack.
    #[error("DynamoDB cannot create the table {table}")]
    Table {
        /// The table's name.
        table: String,
        /// DynamoDB's error.
        #[source]
        source: dynoxide::DynoxideError,
    },
    /// The stack contradicts itself.
    #[error("the stack is not sound")]
    Stack(#[from] StackError),
    /// The model server of one of the stack's endpoints did not become healthy.
    #[error("the model server of endpoint {endpoint} did not start")]
    ModelServer {
        /// The endpoint's name.
        endpoint: String,
        /// How the server ended, with the end of its log.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A socket cannot be used.
    #[error("a socket on the loopback interface cannot be used")]
    Socket(#[from] io::Error),
}

/// The message of an error and of all its sources, joined by `: `.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        message = format!("{message}: {error}");
        source = error.source();
    }
    message
}
