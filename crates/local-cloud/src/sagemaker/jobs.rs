//! Jobs: programs that run once, with inputs and outputs in S3.

mod transform;

pub(super) use transform::{Path, Transform, split_prefix};
