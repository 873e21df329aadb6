//! `_records.jsonl`: the status of every record, which SageMaker lacks. A later job resumes from it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::inputs::output_key;
use super::progress::Entry;
use crate::s3::{ObjectStore, StoreError, split_prefix};
use crate::sagemaker::records::{TransformObject, TransformSpec};

/// The name of the object below the output path.
const NAME: &str = "_records.jsonl";
/// The metadata of the object that says how its records were made.
const SETTINGS: &str = "settings";

/// The status of a record, or of an object whose records cannot be told apart.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    object: String,
    etag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Answered,
    Failed,
}

/// Where an answer is: bytes of the output.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Answer {
    output: String,
    etag: String,
    offset: u64,
    length: u64,
}

/// The key of the object.
pub(super) fn key(spec: &TransformSpec) -> String {
    output_key(spec, NAME)
}

/// The metadata of the object.
pub(super) fn metadata(spec: &TransformSpec) -> BTreeMap<String, String> {
    BTreeMap::from([(SETTINGS.to_owned(), settings(spec))])
}

/// What makes the records and the answers of a job what they are, beside its model.
fn settings(spec: &TransformSpec) -> String {
    let TransformSpec { gzip, split, content_type, accept, lines, processing, .. } = spec;
    json!([gzip, split, content_type, accept, lines, processing]).to_string()
}

/// The lines of an object whose output has this ETag. Every entry is one record.
pub(super) fn of_records(object: &TransformObject, bucket: &str, etag: &str, entries: &[Entry]) -> Vec<u8> {
    let (mut text, mut offset) = (Vec::new(), 0);
    for (number, entry) in (0..).zip(entries) {
        let answer = Answer {
            output: format!("s3://{bucket}/{}", object.output),
            etag: etag.to_owned(),
            offset,
            length: entry.length,
        };
        offset += entry.length;
        let is_answered = entry.error.is_none();
        write(
            &mut text,
            &Line {
                object: uri(object),
                etag: object.etag.clone(),
                record: Some(number),
                status: if is_answered { Status::Answered } else { Status::Failed },
                answer: is_answered.then_some(answer),
                error: entry.error.clone(),
            },
        );
    }
    text
}

/// The line of an object that has no output.
pub(super) fn of_object(object: &TransformObject, error: &str) -> Vec<u8> {
    let mut text = Vec::new();
    write(
        &mut text,
        &Line {
            object: uri(object),
            etag: object.etag.clone(),
            record: None,
            status: Status::Failed,
            answer: None,
            error: Some(error.to_owned()),
        },
    );
    text
}

fn write(text: &mut Vec<u8>, line: &Line) {
    // Texts and numbers are always JSON.
    if let Ok(line) = serde_json::to_vec(line) {
        text.extend(line);
        text.push(b'\n');
    }
}

fn uri(object: &TransformObject) -> String {
    format!("s3://{}/{}", object.bucket, object.key)
}

/// The answers of an earlier job with the same output path.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// By the object's URI and ETag, then by the record's number.
    answers: BTreeMap<(String, String), BTreeMap<u64, Answer>>,
}

impl Earlier {
    /// Reads them. There are none if no job has written them, or if one with other settings has.
    pub(super) async fn read(spec: &TransformSpec, store: &ObjectStore) -> Result<Self, StoreError> {
        let (bucket, _) = split_prefix(&spec.output);
        let (object, text) = match store.read(bucket, &key(spec)).await {
            Ok(found) => found,
            Err(StoreError::NoSuchKey(_)) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut earlier = Self::default();
        if object.attributes.metadata.get(SETTINGS) != Some(&settings(spec)) {
            return Ok(earlier);
        }
        for line in text.split(|byte| *byte == b'\n') {
            if let Ok(Line { object, etag, record: Some(record), answer: Some(answer), .. }) =
                serde_json::from_slice(line)
            {
                earlier.answers.entry((object, etag)).or_default().insert(record, answer);
            }
        }
        Ok(earlier)
    }

    pub(super) fn len(&self) -> usize {
        self.answers.values().map(BTreeMap::len).sum()
    }

    /// The answer of a record, unless its output has changed since.
    pub(super) async fn answer(&self, store: &ObjectStore, object: &TransformObject, record: u64) -> Option<Bytes> {
        let answer = self.answers.get(&(uri(object), object.etag.clone()))?.get(&record)?;
        let (bucket, key) = split_prefix(&answer.output);
        let range = |found: &crate::s3::Object| match answer.offset.checked_add(answer.length) {
            Some(end) if found.etag == answer.etag && end <= found.size => Ok(answer.offset..end),
            _ => Err(StoreError::PreconditionFailed),
        };
        let (_, contents) = store.open_range(bucket, key, range).await.ok()?;
        contents.collect().await.ok()
    }
}
