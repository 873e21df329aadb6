//! The AWS services of an event-driven inference pipeline, in one process: S3 with its events, DynamoDB, Lambda with its Runtime
//! API, SageMaker Runtime and the control plane of its endpoints, CloudWatch Logs, SNS, SQS for dead letters, a REST API and an HTTP
//! API; STS and IAM as far as SDKs ask.
//!
//! The crate knows nothing of the product. A [`Stack`] declares the resources, as a template would, and a [`Cloud`] runs them.
//! Functions and model servers run unmodified, as child processes. Acknowledged data is on disk and survives a kill. An operation
//! that is not implemented answers `NotImplemented`, never a made-up success.

mod account;
mod aws_endpoint;
mod aws_error;
mod body;
mod browser;
mod child;
mod clock;
mod cloud;
pub mod container_contract;
mod data_folder;
mod databases;
mod digest;
mod disk_space;
mod durability;
mod dynamodb;
mod error;
mod events;
mod faults;
mod gateway;
mod health;
mod iam;
mod journal;
mod lambda;
mod log_files;
mod logs;
mod mark;
mod metrics;
pub mod process;
mod query;
mod queue;
mod recovery;
mod redaction;
mod running;
mod s3;
mod sagemaker;
mod schedule;
mod server;
mod services;
mod sns;
mod sqs;
mod stack;
mod sts;
mod tokens;

pub use account::{ACCESS_KEY_ID, ACCOUNT, REGION};
pub use clock::Clock;
pub use cloud::{Cloud, Conditions, Listeners};
pub use durability::{Durability, DurabilityError};
pub use error::CloudError;
pub use faults::{Fault, FaultPlan, FaultPlanError};
pub use queue::Backlog;
pub use recovery::Recovery;
pub use running::Running;
pub use sagemaker::{NoSuchImage, find_image};
pub use stack::{
    Authorizer, BucketNotification, Code, Endpoint, Expiration, Function, HttpRoute, Image, InProcess, Measures,
    Parameters, Program, Refusal, RetryPolicy, Rule, S3Integration, Schedule, Stack, StackError, StaticFile,
    Subscription, Table,
};
pub use tokens::Tokens;
