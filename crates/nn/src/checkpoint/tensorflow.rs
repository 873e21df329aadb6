//! TensorFlow's files: frozen graphs (`graph.proto`), and checkpoints of TensorFlow 1 and 2 (`tensor_bundle.proto`): an index, and
//! data files beside it. Nothing of a graph is run: of its nodes, the constants are read.

mod bundle;
mod element;
mod graph;
mod message;
mod table;

use std::io;

pub(super) use bundle::{MAGIC, open as open_bundle};
pub(super) use graph::{FIRST_BYTE, open as open_graph};

/// The longest name that a message shows, in characters.
const SHOWN: usize = 80;
/// The most dimensions of a tensor: as many as TensorFlow allows.
const MOST_DIMENSIONS: usize = 254;

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
        file: std::path::PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl TensorFlowError {
    fn tensor(name: &str, reason: impl Into<String>) -> Self {
        Self::Tensor { tensor: name.chars().take(SHOWN).collect(), reason: reason.into() }
    }
}

/// The extents of a tensor; `None` where one is unknown or their product is too large.
fn extents(shape: Option<&message::Shape>) -> Option<Vec<usize>> {
    let Some(shape) = shape else { return Some(Vec::new()) };
    if shape.unknown_rank || shape.dimensions.len() > MOST_DIMENSIONS {
        return None;
    }
    let extents: Option<Vec<usize>> =
        shape.dimensions.iter().map(|dimension| usize::try_from(dimension.size).ok()).collect();
    let extents = extents?;
    // Elements have at most 8 bytes.
    extents.iter().try_fold(8_usize, |product, extent| product.checked_mul(*extent))?;
    Some(extents)
}

#[cfg(test)]
mod tests;
