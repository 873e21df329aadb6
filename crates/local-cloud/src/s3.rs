//! S3: an object store, with the wire protocol of `s3s`.

mod aws_chunked;
mod buckets;
mod checksums;
mod contents;
mod file;
mod intake;
mod listing;
mod multipart;
mod object;
mod operations;
mod pieces;
pub(crate) mod presigned;
mod recent;
mod recovery;
mod service;
mod store;
mod store_error;
mod uri;

pub(crate) use object::Attributes;
pub(crate) use service::S3;
pub(crate) use store::{ObjectStore, Output};
pub(crate) use store_error::StoreError;
pub(crate) use uri::split_uri;
