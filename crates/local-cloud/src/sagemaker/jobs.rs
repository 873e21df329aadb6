//! Jobs: programs that run once, with inputs and outputs in S3.

mod training;
mod transform;

pub(super) use training::Training;
pub(super) use transform::{Path, Transform};
