use std::io;
use std::path::PathBuf;

/// The longest name that a message shows, in characters.
const SHOWN: usize = 80;

/// What is wrong with a file of TensorFlow's.
#[derive(Debug, thiserror::Error)]
pub enum TensorFlowError {
    /// The bytes are no message of this kind.
    #[error("it is no {0}")]
    Message(&'static str, #[source] prost::DecodeError),
    /// A graph without constants.
    #[error("the graph has no constants: a frozen graph, or a checkpoint, would work")]
    NotFrozen,
    /// The index is damaged.
    #[error("the index is damaged: {0}")]
    Index(&'static str),
    /// Blocks of the index are compressed.
    #[error("the index is compressed: one as TensorFlow's Saver writes it would work")]
    Compressed,
    /// A tensor's description is damaged.
    #[error("the tensor {tensor:?} {reason}")]
    Tensor {
        /// Its name, shortened.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// A data file cannot be opened.
    #[error("the data file {} cannot be opened", file.display())]
    Data {
        /// Its path.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl TensorFlowError {
    pub(super) fn tensor(name: &str, reason: impl Into<String>) -> Self {
        Self::Tensor { tensor: name.chars().take(SHOWN).collect(), reason: reason.into() }
    }
}
