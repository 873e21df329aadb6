//! Open Images: a line of CSV for each box or class of a picture ("Data Formats" on storage.googleapis.com/openimages).

mod hierarchy;
mod reader;
mod writer;

pub use hierarchy::{Hierarchy, HierarchyError};
pub use reader::OpenImages;
pub(crate) use reader::size_in;
pub use writer::OpenImagesWriter;
