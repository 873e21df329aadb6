//! CloudWatch Logs: what jobs and model servers print, in streams of a group.
//!
//! A stream exists from its first line on. The order of its events never changes: their times do not decrease.

mod error;
mod follow;
mod inputs;
mod page;
mod pattern;
mod store;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::aws_error::not_implemented;
use crate::body::collect;
use crate::journal::Journal;
use crate::{ACCOUNT, REGION};
use error::LogsError;
pub(crate) use follow::Follower;
use inputs::{DescribeLogGroups, DescribeLogStreams, FilterLogEvents, GetLogEvents};
use page::{Names, Position};
use pattern::Pattern;
use store::{Direction, Found, Stream};

/// The largest request: far more than names need.
const MAX_BODY: usize = 1024 * 1024;

/// The streams of all groups. Clones are the same.
#[derive(Clone)]
pub(crate) struct Logs {
    journal: Arc<Journal>,
}

impl Logs {
    pub(crate) fn new(journal: Arc<Journal>) -> Self {
        Self { journal }
    }

    /// Appends lines, without their ends, to a stream. The first line makes the stream. A line that is longer than an event may
    /// be becomes several events, and an empty one becomes none.
    pub(crate) fn append<S: AsRef<str>>(
        &self,
        group: &str,
        stream: &str,
        lines: impl IntoIterator<Item = S>,
    ) -> rusqlite::Result<()> {
        let mut lines = lines.into_iter().filter(|line| !line.as_ref().is_empty()).peekable();
        if lines.peek().is_none() {
            return Ok(());
        }
        let now = self.journal.clock().now_millis();
        self.journal.write(|transaction| store::append(transaction, group, stream, lines, now, store::MAX_STREAM))
    }

    /// A stream of a group. It need not exist yet.
    pub(crate) fn stream(&self, group: &str, name: &str) -> LogStream {
        LogStream { logs: self.clone(), group: group.to_owned(), name: name.to_owned() }
    }

    /// Answers a request to the Logs API.
    pub(crate) async fn call(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let operation = target.strip_prefix("Logs_20140328.").unwrap_or_default();
        if !matches!(operation, "DescribeLogGroups" | "DescribeLogStreams" | "GetLogEvents" | "FilterLogEvents") {
            return not_implemented(&format!("CloudWatch Logs: {operation}"));
        }
        let answered = match collect(body, MAX_BODY).await {
            Err(error) => Err(LogsError::Body(error)),
            Ok(body) => match operation {
                "DescribeLogGroups" => read(&body).and_then(|input| self.describe_groups(input)),
                "DescribeLogStreams" => read(&body).and_then(|input| self.describe_streams(input)),
                "GetLogEvents" => read(&body).and_then(|input| self.get_events(input)),
                _ => read(&body).and_then(|input| self.filter_events(input)),
            },
        };
        match answered {
            Ok(answer) => {
                (StatusCode::OK, [("content-type", "application/x-amz-json-1.1")], answer.to_string()).into_response()
            }
            Err(error) => error.response(),
        }
    }

    fn describe_groups(&self, input: DescribeLogGroups) -> Result<Value, LogsError> {
        let all = self.journal.read(store::groups)?;
        let wanted = |name: &str| {
            input.log_group_name_prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix))
                && input.log_group_name_pattern.as_ref().is_none_or(|part| name.contains(part))
        };
        let items = all.into_iter().filter(|group| wanted(&group.name)).map(|group| {
            let arn = format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{}", group.name);
            let shown = json!({"logGroupName": group.name, "creationTime": group.created, "metricFilterCount": 0,
                "arn": format!("{arn}:*"), "logGroupArn": arn, "storedBytes": group.bytes, "logGroupClass": "STANDARD"});
            (Position::of_name(&group.name), shown)
        });
        let page = Names { kind: "groups", descending: false, limit: input.limit, token: input.next_token };
        page.answer("logGroups", items.collect())
    }

    fn describe_streams(&self, input: DescribeLogStreams) -> Result<Value, LogsError> {
        let group = inputs::group(input.log_group_name, input.log_group_identifier)?;
        let by_time = input.order_by.is_some_and(|order| order == inputs::StreamOrder::LastEventTime);
        let prefix = input.log_stream_name_prefix.unwrap_or_default();
        if by_time && !prefix.is_empty() {
            let message = "Cannot order by LastEventTime with a logStreamNamePrefix.";
            return Err(LogsError::InvalidParameter(message.to_owned()));
        }
        let streams = self.journal.read(|connection| existing_streams(connection, &group))?;
        let items = streams.into_iter().filter(|stream| stream.name.starts_with(&prefix)).map(|stream| {
            let name = &stream.name;
            let shown = json!({"logStreamName": name, "creationTime": stream.created,
                "firstEventTimestamp": stream.first, "lastEventTimestamp": stream.last,
                "lastIngestionTime": stream.last, "uploadSequenceToken": stream.id.to_string(), "storedBytes": 0,
                "arn": format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:{name}")});
            (Position { time: if by_time { stream.last } else { 0 }, name: stream.name }, shown)
        });
        let kind = if by_time { "streams by time" } else { "streams" };
        let page =
            Names { kind, descending: input.descending.unwrap_or(false), limit: input.limit, token: input.next_token };
        page.answer("logStreams", items.collect())
    }

    /// `nextForwardToken` and `nextBackwardToken` name the last event before the next page. A page at the end is empty, and its
    /// token is the one that was passed.
    fn get_events(&self, input: GetLogEvents) -> Result<Value, LogsError> {
        let group = inputs::group(input.log_group_name, input.log_group_identifier)?;
        let most = inputs::most_events(input.limit)?;
        let direction = match input.next_token.as_deref() {
            Some(token) => page::read_event_token(token)?,
            None if input.start_from_head.unwrap_or(false) => Direction::After(0),
            None => Direction::Before(i64::MAX),
        };
        let time = input.start_time.unwrap_or(i64::MIN)..input.end_time.unwrap_or(i64::MAX);
        let (events, last_event) = self.journal.read(|connection| {
            let streams = existing_streams(connection, &group)?;
            let Some(stream) = streams.iter().find(|stream| stream.name == input.log_stream_name) else {
                return Err(LogsError::NotFound("The specified log stream does not exist."));
            };
            let events = store::events(connection, stream.id, direction, &time, most)?;
            Ok((events, store::last_event(connection, stream.id)?))
        })?;
        let (forward, backward) = match (events.first(), events.last(), direction) {
            (Some(first), Some(last), _) => (last.id, first.id),
            (_, _, Direction::After(id)) => (id, id.saturating_add(1)),
            // The newest page. The next one has what is printed from now on.
            (_, _, Direction::Before(i64::MAX)) => (last_event, i64::MAX),
            (_, _, Direction::Before(id)) => (id.saturating_sub(1), id),
        };
        let shown =
            |event: &Found| json!({"timestamp": event.time, "message": event.message, "ingestionTime": event.time});
        Ok(json!({
            "events": events.iter().map(shown).collect::<Vec<_>>(),
            "nextForwardToken": page::event_token(Direction::After(forward)),
            "nextBackwardToken": page::event_token(Direction::Before(backward)),
        }))
    }

    fn filter_events(&self, input: FilterLogEvents) -> Result<Value, LogsError> {
        let group = inputs::group(input.log_group_name, input.log_group_identifier)?;
        let most = inputs::most_events(input.limit)?;
        let pattern = Pattern::read(input.filter_pattern.as_deref().unwrap_or_default())?;
        let (names, prefix) = (input.log_stream_names.unwrap_or_default(), input.log_stream_name_prefix);
        if !names.is_empty() && prefix.is_some() {
            let message = "logStreamNames and logStreamNamePrefix cannot both be given.";
            return Err(LogsError::InvalidParameter(message.to_owned()));
        }
        let prefix = prefix.unwrap_or_default();
        let after = input.next_token.as_deref().map(page::read_filter_token).transpose()?;
        let time = input.start_time.unwrap_or(i64::MIN)..input.end_time.unwrap_or(i64::MAX);
        let (events, more) = self.journal.read(|connection| {
            let streams = existing_streams(connection, &group)?;
            for name in &names {
                if !streams.iter().any(|stream| stream.name == *name) {
                    return Err(LogsError::NotFound("The specified log stream does not exist."));
                }
            }
            let wanted = |stream: &Stream| match names.is_empty() {
                true => stream.name.starts_with(&prefix),
                false => names.contains(&stream.name),
            };
            let wanted: Vec<Stream> = streams.into_iter().filter(wanted).collect();
            Ok(store::matching(connection, &wanted, after, &time, most, |message| pattern.matches(message))?)
        })?;
        let shown = |(stream, event): &(String, Found)| {
            json!({"logStreamName": stream, "timestamp": event.time, "message": event.message,
                "ingestionTime": event.time, "eventId": event.id.to_string()})
        };
        let mut answer = json!({"events": events.iter().map(shown).collect::<Vec<_>>(), "searchedLogStreams": []});
        if let Some((_, last)) = events.last().filter(|_| more) {
            answer["nextToken"] = json!(page::filter_token((last.time, last.id)));
        }
        Ok(answer)
    }
}

/// A stream to write to.
#[derive(Clone)]
pub(crate) struct LogStream {
    logs: Logs,
    group: String,
    name: String,
}

impl LogStream {
    /// Appends lines, as [`Logs::append`] does.
    pub(crate) fn append<S: AsRef<str>>(&self, lines: impl IntoIterator<Item = S>) -> rusqlite::Result<()> {
        self.logs.append(&self.group, &self.name, lines)
    }
}

/// The name of an instance in the names of streams, in AWS's form.
pub(crate) fn instance_id() -> String {
    let id = Uuid::new_v4().simple().to_string();
    format!("i-{}", &id[..17])
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, LogsError> {
    serde_json::from_slice(body).map_err(LogsError::Input)
}

/// The streams of a group, which has at least one.
fn existing_streams(connection: &rusqlite::Connection, group: &str) -> Result<Vec<Stream>, LogsError> {
    let streams = store::streams(connection, group)?;
    if streams.is_empty() {
        return Err(LogsError::NotFound("The specified log group does not exist."));
    }
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::durability::Durability;

    #[test]
    fn events_that_are_printed_later_follow_an_empty_page() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::default();
        let journal = Journal::open(&folder.path().join("journal.db"), clock.clone(), Durability::Kill).unwrap();
        let logs = Logs::new(Arc::new(journal));
        logs.append("g", "s", ["early"]).unwrap();
        clock.advance(Duration::from_secs(60));
        let start = clock.now_millis();
        let page = |token: Option<&Value>| {
            let input = json!({"logGroupName": "g", "logStreamName": "s", "startTime": start, "nextToken": token});
            logs.get_events(serde_json::from_value(input).unwrap()).unwrap()
        };
        let empty = page(None);
        assert_eq!(empty["events"], json!([]));
        let token = &empty["nextForwardToken"];
        assert_eq!(page(Some(token))["nextForwardToken"], *token);
        logs.append("g", "s", ["late"]).unwrap();
        let next = page(Some(token));
        assert_eq!((&next["events"][0]["message"], &next["events"][1]), (&json!("late"), &Value::Null));
    }
}
