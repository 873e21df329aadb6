//! Annotated pictures: one model of annotations, the formats that hold it, splits, drawings and synthetic sets.
//!
//! Readers and writers work picture by picture. A record that cannot be read is named and passed over. What a format cannot hold is
//! counted by name, never dropped in silence. It knows no model and no network: pictures that lie elsewhere come through [`Pictures`].

mod annotations;
mod classes;
mod dataset_error;
pub mod draw;
pub mod evaluation;
pub mod export;
mod findings;
pub mod formats;
mod input;
pub mod inspect;
pub mod make;
mod pictures;
mod random;
pub mod split;

pub use annotations::{Flags, Label, Object, Provenance, Rectangle, Sample, Size};
pub use classes::{Class, ClassId, Classes};
pub use dataset_error::DatasetError;
pub use findings::{Fault, Findings};
pub use formats::{Format, Options, Reading, Sink, Source, Target};
pub use input::{Input, Inputs};
pub use pictures::{LocalPictures, MAX_PICTURE_BYTES, Pictures};
