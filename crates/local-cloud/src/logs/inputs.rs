//! Inputs of the operations, under AWS's names. A member that is not among them is refused by name.

use serde::Deserialize;

use super::error::LogsError;

/// The most events of a page.
const MOST_EVENTS: u64 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DescribeLogGroups {
    pub(super) log_group_name_prefix: Option<String>,
    pub(super) log_group_name_pattern: Option<String>,
    pub(super) limit: Option<u64>,
    pub(super) next_token: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum StreamOrder {
    LogStreamName,
    LastEventTime,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DescribeLogStreams {
    pub(super) log_group_name: Option<String>,
    pub(super) log_group_identifier: Option<String>,
    pub(super) log_stream_name_prefix: Option<String>,
    pub(super) order_by: Option<StreamOrder>,
    pub(super) descending: Option<bool>,
    pub(super) limit: Option<u64>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GetLogEvents {
    pub(super) log_group_name: Option<String>,
    pub(super) log_group_identifier: Option<String>,
    pub(super) log_stream_name: String,
    /// Milliseconds since 1970, inclusive; the end is exclusive.
    pub(super) start_time: Option<i64>,
    pub(super) end_time: Option<i64>,
    pub(super) start_from_head: Option<bool>,
    pub(super) limit: Option<u64>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FilterLogEvents {
    pub(super) log_group_name: Option<String>,
    pub(super) log_group_identifier: Option<String>,
    pub(super) log_stream_names: Option<Vec<String>>,
    pub(super) log_stream_name_prefix: Option<String>,
    pub(super) filter_pattern: Option<String>,
    /// Milliseconds since 1970, inclusive; the end is exclusive.
    pub(super) start_time: Option<i64>,
    pub(super) end_time: Option<i64>,
    pub(super) limit: Option<u64>,
    pub(super) next_token: Option<String>,
    /// AWS ignores it too: events of several streams are always interleaved.
    #[serde(rename = "interleaved")]
    pub(super) _interleaved: Option<bool>,
}

/// The group that a request names, by its name or its ARN.
pub(super) fn group(name: Option<String>, identifier: Option<String>) -> Result<String, LogsError> {
    match (name, identifier) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => {
            let name = identifier.split_once(":log-group:").map_or(identifier.as_str(), |(_, name)| name);
            Ok(name.trim_end_matches(":*").to_owned())
        }
        _ => Err(LogsError::InvalidParameter("give one of logGroupName and logGroupIdentifier".to_owned())),
    }
}

/// The most events of a page that a request asks for.
pub(super) fn most_events(limit: Option<u64>) -> Result<usize, LogsError> {
    match limit.unwrap_or(MOST_EVENTS) {
        limit @ 1..=MOST_EVENTS => Ok(usize::try_from(limit).unwrap_or(usize::MAX)),
        limit => Err(LogsError::InvalidParameter(format!("limit is {limit}: 1 to {MOST_EVENTS} would work"))),
    }
}
