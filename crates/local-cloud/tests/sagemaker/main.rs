//! SageMaker's jobs, tags and logs, and the services that its SDK asks beside it, over plain HTTP.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod cloud;
mod endpoints;
mod identity;
mod logs;
mod members;
mod servers;
mod tags;
mod transform;
