//! An object as the journal holds it: everything but its bytes.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};

use super::checksums::Checksum;
use super::seal::Seal;
use super::store_error::StoreError;

/// The headers and the metadata of an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    /// As it was sent: S3 takes any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) website_redirect_location: Option<String>,
    /// `None`: `STANDARD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<Encryption>,
    /// That of the bytes, if they are encrypted with a key of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seal: Option<Seal>,
    /// `x-amz-meta-*`, without the prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    /// Keys and values, in the order of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<Checksum>,
    /// The parts of a multipart upload, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<ObjectPart>,
    /// The id of the multipart upload that made the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upload: Option<String>,
}

/// The server-side encryption that a request asked for. It is recorded and shown. The bytes are stored as they came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub(crate) algorithm: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bucket_key: Option<bool>,
}

/// A part of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ObjectPart {
    pub(crate) number: i32,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<Checksum>,
}

/// An object without its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) key: String,
    /// The name of the file with its bytes.
    pub(crate) blob: String,
    /// The number of bytes. A [sealed](Seal) file has more.
    pub(crate) size: u64,
    pub(crate) etag: String,
    /// Milliseconds since 1970.
    pub(crate) modified: i64,
    pub(crate) attributes: Attributes,
}

/// Received bytes that belong to no object yet.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) name: String,
    /// The number of bytes. A [sealed](Seal) file has more.
    pub(crate) size: u64,
    pub(crate) etag: String,
    /// That of the bytes, if they are encrypted with a key of the client.
    pub(crate) seal: Option<Seal>,
}

/// The object of a key.
pub(super) fn find(connection: &Connection, bucket: &str, key: &str) -> Result<Option<Object>, StoreError> {
    let found = connection
        .prepare_cached("SELECT key, blob, size, etag, modified, attributes FROM object WHERE bucket = ? AND key = ?")?
        .query_row([bucket, key], object)
        .optional()?;
    Ok(found)
}

/// Reads the columns `key, blob, size, etag, modified, attributes`.
pub(super) fn object(row: &Row<'_>) -> rusqlite::Result<Object> {
    let attributes: String = row.get(5)?;
    let attributes = serde_json::from_str(&attributes)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(Object {
        key: row.get(0)?,
        blob: row.get(1)?,
        size: row.get(2)?,
        etag: row.get(3)?,
        modified: row.get(4)?,
        attributes,
    })
}

/// Whether an object or a part has these bytes.
pub(super) fn is_used(connection: &Connection, blob: &str) -> rusqlite::Result<bool> {
    let mut objects = connection.prepare_cached("SELECT 1 FROM object WHERE blob = ?")?;
    let mut parts = connection.prepare_cached("SELECT 1 FROM part WHERE blob = ?")?;
    Ok(objects.exists([blob])? || parts.exists([blob])?)
}
