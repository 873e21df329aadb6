//! The records of the control plane, in the journal: models, endpoint configurations, endpoints and jobs.

mod endpoint;
mod endpoint_config;
mod job_status;
mod model;
mod tag;
mod training_job;
mod transform_job;
mod transform_object;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ACCOUNT, REGION};

pub(crate) use endpoint::{Capacity, DeployedVariant, Deployment, Endpoint, Status};
pub(crate) use endpoint_config::{
    AsyncInferenceConfig, ClientConfig, EndpointConfig, NotificationConfig, OutputConfig, ServerlessConfig, Variant,
};
pub(crate) use job_status::JobStatus;
pub(crate) use model::{Container, Model, ServedContainer};
pub(crate) use tag::{Tag, tag, tags, untag};
pub(crate) use training_job::{
    Channel, Checkpoints, Ending, InputMode, Metric, MetricDefinition, Secondary, TrainingJob, TrainingSpec,
};
pub(crate) use transform_job::{
    BadRecords, Format, Parameters, Processing, Source, Split, TransformJob, TransformSpec,
};
pub(crate) use transform_object::{ObjectStatus, TransformObject, insert_objects, objects, settle_object};

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    EndpointConfig,
    Endpoint,
    TrainingJob,
    TransformJob,
}

impl Kind {
    fn key(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::EndpointConfig => "endpoint-config",
            Self::Endpoint => "endpoint",
            Self::TrainingJob => "training-job",
            Self::TransformJob => "transform-job",
        }
    }

    /// Its name in messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::EndpointConfig => "endpoint configuration",
            Self::Endpoint => "endpoint",
            Self::TrainingJob => "training job",
            Self::TransformJob => "transform job",
        }
    }

    pub(crate) fn arn(self, name: &str) -> String {
        format!("arn:aws:sagemaker:{REGION}:{ACCOUNT}:{}/{}", self.key(), name.to_ascii_lowercase())
    }
}

/// A record of the control plane.
#[derive(Clone, Debug)]
pub(crate) struct Record<T> {
    pub(crate) name: String,
    /// Milliseconds since 1970; so is the time of the last modification.
    pub(crate) created: i64,
    pub(crate) modified: i64,
    /// Whether it belongs to the stack, and so cannot be changed by the API.
    pub(crate) own: bool,
    pub(crate) value: T,
}

const COLUMNS: &str = "name, created, modified, own, description";

fn record<T: DeserializeOwned>(row: &Row<'_>) -> rusqlite::Result<Record<T>> {
    let description: String = row.get(4)?;
    let value = serde_json::from_str(&description)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(Record { name: row.get(0)?, created: row.get(1)?, modified: row.get(2)?, own: row.get(3)?, value })
}

fn text(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The record of this name.
pub(crate) fn get<T: DeserializeOwned>(
    connection: &Connection,
    kind: Kind,
    name: &str,
) -> rusqlite::Result<Option<Record<T>>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM sagemaker WHERE kind = ? AND name = ?"))?
        .query_row([kind.key(), name], record)
        .optional()
}

/// All records of a kind, by name.
pub(crate) fn all<T: DeserializeOwned>(connection: &Connection, kind: Kind) -> rusqlite::Result<Vec<Record<T>>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM sagemaker WHERE kind = ? ORDER BY name"))?;
    statement.query_map([kind.key()], record)?.collect()
}

/// Writes a new record. False if the name is taken.
pub(crate) fn insert(
    connection: &Connection,
    kind: Kind,
    name: &str,
    now: i64,
    value: &impl Serialize,
) -> rusqlite::Result<bool> {
    let inserted = connection
        .prepare_cached("INSERT OR IGNORE INTO sagemaker VALUES (?, ?, ?, ?, 0, ?)")?
        .execute(params![kind.key(), name, now, now, text(value)?])?;
    Ok(inserted == 1)
}

/// Writes a record of the stack. It replaces a record of the same name, and keeps that one's time of creation.
pub(crate) fn insert_own(
    connection: &Connection,
    kind: Kind,
    name: &str,
    now: i64,
    value: &impl Serialize,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO sagemaker VALUES (?, ?, ?, ?, 1, ?)
             ON CONFLICT DO UPDATE SET name = excluded.name, own = 1, description = excluded.description,
                 modified = iif(description = excluded.description, modified, excluded.modified)",
        )?
        .execute(params![kind.key(), name, now, now, text(value)?])?;
    Ok(())
}

/// Replaces the value of a record.
pub(crate) fn update(
    connection: &Connection,
    kind: Kind,
    name: &str,
    now: i64,
    value: &impl Serialize,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE sagemaker SET description = ?, modified = ? WHERE kind = ? AND name = ?")?
        .execute(params![text(value)?, now, kind.key(), name])?;
    Ok(())
}

/// Whether there is a record of this ARN.
pub(crate) fn exists(connection: &Connection, arn: &str) -> rusqlite::Result<bool> {
    let resource = arn.strip_prefix(&format!("arn:aws:sagemaker:{REGION}:{ACCOUNT}:"));
    let Some((kind, name)) = resource.and_then(|resource| resource.split_once('/')) else { return Ok(false) };
    connection.prepare_cached("SELECT 1 FROM sagemaker WHERE kind = ? AND name = ?")?.exists([kind, name])
}

/// Deletes a record and its tags.
pub(crate) fn delete(connection: &Connection, kind: Kind, name: &str) -> rusqlite::Result<()> {
    tag::untag_all(connection, &kind.arn(name))?;
    connection.prepare_cached("DELETE FROM sagemaker WHERE kind = ? AND name = ?")?.execute([kind.key(), name])?;
    Ok(())
}

/// Deletes the stack's records, except those of these names.
pub(crate) fn retain_own(connection: &Connection, names: &[&str]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT DISTINCT name FROM sagemaker WHERE own = 1")?;
    let before: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in before.iter().filter(|name| !names.contains(&name.as_str())) {
        connection.execute("DELETE FROM sagemaker WHERE own = 1 AND name = ?", [name])?;
    }
    Ok(())
}

/// Whether a text is a name of a record or a variant: `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}`.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    allowed && (1..=63).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_sagemaker() {
        for good in ["a", "A1", "a-b", "a--b", "DEMO-2026-11-26", &"x".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "-", "a_b", "a.b", "a b", "ä", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
