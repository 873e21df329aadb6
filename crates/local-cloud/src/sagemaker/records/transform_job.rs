//! The record of a transform job: what was asked for, and how far it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::job_status::JobStatus;
use super::model::ServedContainer;

/// The default of `MaxPayloadInMB`.
const MAX_PAYLOAD_IN_MB: u64 = 6;
/// The most bytes of a request where `MaxPayloadInMB` is 0: a request lies in memory.
const WITHOUT_LIMIT: usize = 1 << 30;

/// How the objects of a job are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    S3Prefix,
    ManifestFile,
    AugmentedManifestFile,
}

/// How an object is split into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Split {
    None,
    Line,
    RecordIO,
    TFRecord,
}

/// The media types of records that can be filtered and joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Format {
    Csv,
    Json,
    JsonLines,
}

/// The filters of a job, which are sound, and its join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Processing {
    pub(crate) input: Format,
    pub(crate) output: Format,
    pub(crate) input_filter: String,
    pub(crate) output_filter: String,
    pub(crate) join: bool,
}

/// What happens to a bad record, and to the answers of an earlier job with the same output path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BadRecords {
    /// It fails the job, as with SageMaker.
    Fail,
    /// It is left out, and every record's status is written.
    Skip,
    /// The same, and records that an earlier job answered keep their answers.
    Resume,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TransformSpec {
    pub(crate) source: Source,
    pub(crate) input: String,
    pub(crate) gzip: bool,
    pub(crate) split: Split,
    pub(crate) content_type: Option<String>,
    /// `s3://bucket` or `s3://bucket/prefix`.
    pub(crate) output: String,
    pub(crate) accept: Option<String>,
    /// Whether a newline follows every answer.
    pub(crate) lines: bool,
    /// Whether a request holds several records.
    pub(crate) multi_record: Option<bool>,
    pub(crate) max_payload_in_mb: Option<u64>,
    pub(crate) max_concurrent_transforms: Option<u64>,
    pub(crate) timeout_seconds: u64,
    pub(crate) max_retries: u32,
    pub(crate) processing: Option<Processing>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) bad_records: BadRecords,
}

/// The parameters of a job: the request's, else the container's, else SageMaker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    pub(crate) max_concurrent_transforms: u64,
    pub(crate) max_payload_in_mb: u64,
    pub(crate) multi_record: bool,
}

impl Parameters {
    /// `container` is the body of `/execution-parameters`. A member that cannot be used is ignored.
    pub(crate) fn new(spec: &TransformSpec, container: Option<&Value>) -> Self {
        let offered = |name: &str| container.and_then(|body| body.get(name));
        let number = |name: &str, most: u64| offered(name).and_then(Value::as_u64).filter(|number| *number <= most);
        let strategy = match offered("BatchStrategy").and_then(Value::as_str) {
            Some("MULTI_RECORD") => Some(true),
            Some("SINGLE_RECORD") => Some(false),
            _ => None,
        };
        let concurrent = spec.max_concurrent_transforms.or_else(|| number("MaxConcurrentTransforms", 100));
        Self {
            max_concurrent_transforms: concurrent.unwrap_or(1).max(1),
            max_payload_in_mb: spec
                .max_payload_in_mb
                .or_else(|| number("MaxPayloadInMB", 100))
                .unwrap_or(MAX_PAYLOAD_IN_MB),
            multi_record: spec.multi_record.or(strategy).unwrap_or(true),
        }
    }

    /// The most bytes of a request.
    pub(crate) fn max_payload(&self) -> usize {
        match self.max_payload_in_mb {
            0 => WITHOUT_LIMIT,
            megabytes => usize::try_from(megabytes << 20).unwrap_or(usize::MAX),
        }
    }
}

/// A transform job. The record has everything that a restart needs, beside the table of its objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TransformJob {
    /// The name of the folder of its files.
    pub(crate) id: Uuid,
    /// The request, with defaults, as a description shows it.
    pub(crate) shown: Value,
    pub(crate) spec: TransformSpec,
    /// Copies of the model's containers, since it may be deleted meanwhile. A request passes through all, in this order.
    pub(crate) containers: Vec<ServedContainer>,
    pub(crate) status: JobStatus,
    pub(crate) failure_reason: Option<String>,
    /// Milliseconds since 1970; so is the end.
    pub(crate) started: Option<i64>,
    pub(crate) ended: Option<i64>,
    /// As they were when the first object began: a restart splits objects in the same way.
    pub(crate) parameters: Option<Parameters>,
}
