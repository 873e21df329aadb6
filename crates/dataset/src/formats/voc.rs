//! Pascal VOC: one XML document a picture ("The PASCAL Visual Object Classes Challenge 2012 Development Kit", section 3).

mod document;
mod reader;
mod writer;

pub use document::{Document, DocumentError};
pub use reader::Voc;
pub use writer::VocWriter;
