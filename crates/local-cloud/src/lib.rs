//! The AWS protocols that an event-driven inference pipeline uses, in one process: S3 with its events, DynamoDB,
//! SageMaker Runtime and the control plane of its endpoints, SNS, SQS for dead letters, Lambda with its Runtime API, a REST and an HTTP API in front.
//!
//! It knows nothing of the product: a [`Stack`] says what there is to be, as a template would, and [`Cloud`] runs it.
//! Functions and model servers are child processes, unmodified. Whatever was acknowledged lies on disk and survives a
//! kill. Whatever is not implemented answers `NotImplemented`, never a made-up success.

mod aws_endpoint;
mod body;
mod child;
mod clock;
mod cloud;
mod dynamodb;
mod error;
mod events;
mod faults;
mod gateway;
mod journal;
mod lambda;
mod queue;
mod s3;
mod sagemaker;
mod schedule;
mod server;
mod sns;
mod sqs;
mod stack;

pub use clock::Clock;
pub use cloud::{Backlog, Cloud, Conditions, Listeners};
pub use error::CloudError;
pub use faults::{Fault, FaultPlan, FaultPlanError};
pub use gateway::{Parameters, Refusal};
pub use stack::{
    BucketNotification, Code, Endpoint, Function, HttpRoute, Image, InProcess, Program, RetryPolicy, Rule,
    S3Integration, Schedule, Stack, StaticFile, Subscription, Table,
};

/// The access key that the local cloud gives to its functions. Signatures made with it are checked; every other key is
/// taken at its word, so that an SDK works with whatever credentials it finds.
pub const ACCESS_KEY_ID: &str = "LOCALCLOUDFUNCTION00";
/// The account that everything belongs to.
pub const ACCOUNT: &str = "000000000000";
/// The region that everything lies in.
pub const REGION: &str = "us-east-1";

/// Milliseconds since 1970.
fn now_millis() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Now, as AWS writes it in its messages: RFC 3339 with milliseconds.
fn now_rfc3339() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
