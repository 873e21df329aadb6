//! What the control plane holds, in the journal.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::listing::Item;
use crate::{ACCOUNT, REGION};

/// A kind of what the control plane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    EndpointConfig,
    Endpoint,
}

impl Kind {
    fn key(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::EndpointConfig => "endpoint-config",
            Self::Endpoint => "endpoint",
        }
    }

    /// As messages call it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::EndpointConfig => "endpoint configuration",
            Self::Endpoint => "endpoint",
        }
    }

    pub(super) fn arn(self, name: &str) -> String {
        format!("arn:aws:sagemaker:{REGION}:{ACCOUNT}:{}/{}", self.key(), name.to_ascii_lowercase())
    }
}

/// A record with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Record<T> {
    pub(super) name: String,
    /// Milliseconds since 1970, as is the next.
    pub(super) created: i64,
    pub(super) modified: i64,
    /// Whether it is the stack's, which the API does not change.
    pub(super) own: bool,
    pub(super) value: T,
}

impl<T> Record<T> {
    pub(super) fn item(&self) -> Item {
        Item { name: self.name.clone(), created: self.created, modified: self.modified, status: "" }
    }
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

pub(super) fn get<T: DeserializeOwned>(
    connection: &Connection,
    kind: Kind,
    name: &str,
) -> rusqlite::Result<Option<Record<T>>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM sagemaker WHERE kind = ? AND name = ?"))?
        .query_row([kind.key(), name], record)
        .optional()
}

pub(super) fn all<T: DeserializeOwned>(connection: &Connection, kind: Kind) -> rusqlite::Result<Vec<Record<T>>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM sagemaker WHERE kind = ? ORDER BY name"))?;
    statement.query_map([kind.key()], record)?.collect()
}

/// False if there is one of that name.
pub(super) fn insert(
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

/// Writes one of the stack's own, which keeps its age and takes the place of any other of that name.
pub(super) fn insert_own(
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

pub(super) fn update(
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

pub(super) fn delete(connection: &Connection, kind: Kind, name: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM sagemaker WHERE kind = ? AND name = ?")?.execute([kind.key(), name])?;
    Ok(())
}

/// Deletes what was the stack's own, but for those of these names.
pub(super) fn retain_own(connection: &Connection, names: &[&str]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT DISTINCT name FROM sagemaker WHERE own = 1")?;
    let before: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in before.iter().filter(|name| !names.contains(&name.as_str())) {
        connection.execute("DELETE FROM sagemaker WHERE own = 1 AND name = ?", [name])?;
    }
    Ok(())
}
