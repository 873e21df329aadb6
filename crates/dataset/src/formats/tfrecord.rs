//! TFRecord files of `tf.train.Example`, with the keys of TensorFlow's Object Detection API.

mod example;
mod framing;
mod reader;
mod shards;
mod writer;

pub use example::{Example, ExampleError, Feature};
pub use framing::{Damage, MAX_RECORD, Records, write_record};
pub use reader::{TfRecord, read_example};
pub(crate) use shards::{files, name};
pub use writer::{Compression, TfRecordWriter};
