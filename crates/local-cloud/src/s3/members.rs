//! Members of inputs that most operations have: checked, or refused by name.

use http::{HeaderMap, StatusCode};
use s3s::dto::RequestPayer;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::ACCOUNT;

/// An error that `s3s` has no code for.
pub(super) fn custom(code: &'static str, status: StatusCode, message: impl Into<String>) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message.into());
    error.set_status_code(status);
    error
}

/// Refuses members that S3 takes and the local cloud does not. Each has a name, and whether it is there.
pub(super) fn refuse(members: &[(&str, bool)]) -> S3Result {
    match members.iter().find(|(_, is_there)| *is_there) {
        None => Ok(()),
        Some((name, _)) => Err(s3_error!(NotImplemented, "{name} is not implemented by the local cloud: leave it out")),
    }
}

/// Headers of S3 that `s3s` passes over.
const PASSED_OVER: [&str; 10] = [
    "x-amz-bucket-namespace",
    "x-amz-checksum-md5",
    "x-amz-checksum-sha512",
    "x-amz-checksum-xxhash128",
    "x-amz-checksum-xxhash3",
    "x-amz-checksum-xxhash64",
    "x-amz-object-annotation-directive",
    "x-amz-object-lock-event-hold",
    "x-amz-object-lock-event-hold-duration-days",
    "x-amz-object-lock-event-hold-duration-years",
];

/// Refuses headers that nothing would read.
pub(super) fn refuse_passed_over(headers: &HeaderMap) -> S3Result {
    refuse(&PASSED_OVER.map(|name| (name, headers.contains_key(name))))
}

/// Every bucket belongs to the one account.
pub(super) fn check_owner(expected: Option<&str>) -> S3Result {
    match expected {
        None | Some(ACCOUNT) => Ok(()),
        Some(other) => Err(s3_error!(
            AccessDenied,
            "x-amz-expected-bucket-owner is {other}, and every bucket belongs to {ACCOUNT}"
        )),
    }
}

/// The owner of a bucket may say that the requester pays, which is the owner.
pub(super) fn check_payer(payer: Option<&RequestPayer>) -> S3Result {
    match payer.map(RequestPayer::as_str) {
        None | Some(RequestPayer::REQUESTER) => Ok(()),
        Some(other) => Err(s3_error!(InvalidArgument, "x-amz-request-payer is {other}: requester would work")),
    }
}

/// Without versioning, an object has the one version `null`.
pub(super) fn check_version(version: Option<&str>) -> S3Result {
    match version {
        None | Some("" | "null") => Ok(()),
        Some(other) => Err(s3_error!(NoSuchVersion, "no bucket has versions here: {other} is none, null would work")),
    }
}

/// Whether a canned ACL says something else than what is true of every object: it is its owner's alone.
pub(super) fn is_other_acl(acl: Option<&str>) -> bool {
    acl.is_some_and(|acl| !matches!(acl, "private" | "bucket-owner-full-control" | "bucket-owner-read"))
}

/// Refuses the five headers of access control.
macro_rules! refuse_acl {
    ($acl:expr, $full_control:expr, $read:expr, $read_acp:expr, $write_acp:expr) => {
        $crate::s3::members::refuse(&[
            ("x-amz-acl", $crate::s3::members::is_other_acl($acl.as_ref().map(|acl| acl.as_str()))),
            ("x-amz-grant-full-control", $full_control.is_some()),
            ("x-amz-grant-read", $read.is_some()),
            ("x-amz-grant-read-acp", $read_acp.is_some()),
            ("x-amz-grant-write-acp", $write_acp.is_some()),
        ])
    };
}

/// Refuses the three headers of object lock.
macro_rules! refuse_lock {
    ($hold:expr, $mode:expr, $until:expr) => {
        $crate::s3::members::refuse(&[
            ("x-amz-object-lock-legal-hold", $hold.is_some()),
            ("x-amz-object-lock-mode", $mode.is_some()),
            ("x-amz-object-lock-retain-until-date", $until.is_some()),
        ])
    };
}

pub(super) use {refuse_acl, refuse_lock};
