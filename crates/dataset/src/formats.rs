//! The formats of data sets: how each is opened, and how it is written.

pub mod coco;
mod file_names;
pub mod folders;
mod format;
pub mod ground_truth;
pub mod label_map;
mod lines;
mod losses;
mod number;
pub mod open_images;
pub mod plain_text;
mod source;
pub mod tfrecord;
pub mod voc;

pub(crate) use file_names::{FileNames, stem};
pub use format::{Format, Target};
pub(crate) use open_images::size_in;
pub use source::{Options, Reading, Sink, Source};
