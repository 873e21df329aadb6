//! What crosses a boundary of the pipeline: ids, object keys, the job record and its transitions, ages, strip
//! geometry, invocation and notification messages, error codes.
//!
//! No tokio, no AWS, no I/O: everything here is a value or a pure function, so that both Lambdas, the model
//! container, the command line and the tests agree by construction.

mod ages;
mod error_code;
mod id;
mod image_type;
pub mod invocation;
mod job;
pub mod keys;
pub mod notification;
mod sequencer;
pub mod strip;
mod timestamp;

pub use ages::{Ages, AgesError};
pub use error_code::{ErrorCode, JobError};
pub use id::{IdError, InferenceId, PortraitId, Revision};
pub use image_type::ImageType;
pub use job::{Claim, Deadlines, Job, JobView, PanelView, Status, Upload, Uploaded};
pub use sequencer::Sequencer;
pub use timestamp::{Timestamp, TimestampError};

/// The largest body `PUT /images/{id}` takes: API Gateway's own limit, 10 MB.
pub const MAX_PUT_BYTES: u64 = 10 * 1024 * 1024;
/// The largest portrait the pipeline takes at all, by a presigned upload: 50 MB.
pub const MAX_UPLOAD_BYTES: u64 = 50 * 1024 * 1024;
/// The longest a `GET /jobs/{id}?wait=` is held, in seconds: API Gateway cuts an answer off at 30.
pub const MAX_WAIT_SECONDS: u64 = 25;
