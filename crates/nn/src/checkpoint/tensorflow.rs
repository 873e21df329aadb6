//! TensorFlow's files: frozen graphs (`graph.proto`), and checkpoints of TensorFlow 1 and 2 (`tensor_bundle.proto`): an index, and
//! data files beside it. Nothing of a graph is run: of its nodes, the constants are read.

mod bundle;
mod element;
mod error;
mod graph;
mod message;
mod table;

pub use error::TensorFlowError;

pub(super) use bundle::{MAGIC, open as open_bundle};
pub(super) use graph::{FIRST_BYTE, open as open_graph};

/// The most dimensions of a tensor: as many as TensorFlow allows.
const MOST_DIMENSIONS: usize = 254;

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
