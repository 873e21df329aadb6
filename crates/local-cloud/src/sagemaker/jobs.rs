//! Jobs: programs that run once, with inputs and outputs in S3.

mod training;

pub(super) use training::Training;
