//! The data that crosses a boundary of the pipeline: ids, object keys, the job record and its transitions, ages, the
//! strip's geometry, events, invocations, error codes.
//!
//! No tokio, no AWS, no I/O: everything here is a value or a pure function, so that both Lambdas, the model
//! container, the command line and the tests agree by construction.

mod ages;
mod claim;
mod deadlines;
mod deletion;
mod error_code;
pub mod event;
mod excerpt;
mod foreign_type;
mod id;
mod image_type;
mod inference_id;
pub mod invocation;
mod job;
pub mod keys;
mod owner;
mod portrait_key;
mod record;
mod search;
mod sequencer;
mod status;
pub mod strip;
mod timestamp;
mod upload;
mod view;

pub use ages::{Ages, AgesError};
pub use claim::Claim;
pub use deadlines::Deadlines;
pub use deletion::Deleted;
pub use error_code::{ErrorCode, JobError};
pub use excerpt::excerpt;
pub use foreign_type::ForeignType;
pub use id::{IdError, PortraitId, Revision};
pub use image_type::ImageType;
pub use inference_id::InferenceId;
pub use job::Job;
pub use owner::Owner;
pub use portrait_key::PortraitKey;
pub use record::{Record, Tombstone};
pub use search::{FoundFace, Search};
pub use sequencer::Sequencer;
pub use status::Status;
pub use timestamp::{Timestamp, TimestampError};
pub use upload::{Upload, Uploaded};
pub use view::{JobView, PanelView};

/// The largest body of `PUT /images/{id}`: API Gateway's own limit, 10 MB.
pub const MAX_PUT_BYTES: u64 = 10 * 1024 * 1024;
/// The largest portrait that the pipeline accepts, by a presigned upload: 50 MB.
pub const MAX_UPLOAD_BYTES: u64 = 50 * 1024 * 1024;
/// The longest wait of `GET /jobs/{id}?wait=`, in seconds: API Gateway ends a request after 30.
pub const MAX_WAIT_SECONDS: u64 = 25;
