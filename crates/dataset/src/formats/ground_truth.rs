//! Output manifests of SageMaker Ground Truth: a line of JSON for each picture ("Use Input and Output Data" in SageMaker's developer
//! guide).

mod line;
mod reader;
mod writer;

pub use line::{Line, LineError};
pub(crate) use line::{ascii, reason};
pub use reader::{GroundTruth, job_of};
pub use writer::GroundTruthWriter;
