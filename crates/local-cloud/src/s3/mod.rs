//! S3: objects on disk, the wire protocol by `s3s`.

mod aws_chunked;
mod checksums;
mod listing;
mod multipart;
pub(crate) mod presigned;
mod service;
mod store;

pub(crate) use aws_chunked::AwsChunked;
pub(crate) use service::S3;
pub(crate) use store::{Attributes, ObjectStore, StoreError, hex};
