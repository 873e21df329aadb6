//! COCO's files: detection ("Data format" on cocodataset.org) and results ("Results format").

mod reader;
mod results;
mod table;
mod writer;

pub use reader::Coco;
pub use results::{CocoResults, CocoResultsWriter};
pub use writer::CocoWriter;
