use std::path::PathBuf;

/// Why the local cloud cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The data folder cannot be used.
    #[error("the data folder {path} cannot be used: choose one that can be written to with --data")]
    DataFolder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process works on the data folder.
    #[error("the data folder {0} is in use by another process: stop that one, or choose another folder with --data")]
    DataFolderInUse(PathBuf),
    /// The file that holds objects and queues cannot be used.
    #[error("the journal {path} cannot be used")]
    Journal {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The queues cannot be read.
    #[error("the queues cannot be read")]
    Backlog(#[source] rusqlite::Error),
    /// DynamoDB cannot start.
    #[error("DynamoDB cannot start: {0}")]
    DynamoDb(String),
    /// The stack asks for something that is not there.
    #[error("the stack is not sound: {0}")]
    Stack(String),
    /// A model server does not come up.
    #[error("the model server of endpoint {endpoint} did not start: {reason}")]
    ModelServer {
        /// The endpoint's name.
        endpoint: String,
        /// How it ended and the end of its log.
        reason: String,
    },
    /// A socket cannot be used.
    #[error("a socket on the loopback interface cannot be used")]
    Socket(#[from] std::io::Error),
}
