//! The objects of transform jobs: one row each, written when the job begins.

use rusqlite::{Connection, params};

/// How an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectStatus {
    /// It has no output yet.
    Left,
    /// Its output is there.
    Done,
    /// It failed by the caller's fault, or by the container's.
    ClientError,
    AlgorithmError,
}

impl ObjectStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Done => "done",
            Self::ClientError => "client",
            Self::AlgorithmError => "algorithm",
        }
    }

    fn of(text: &str) -> Self {
        [Self::Done, Self::ClientError, Self::AlgorithmError]
            .into_iter()
            .find(|status| status.as_str() == text)
            .unwrap_or(Self::Left)
    }
}

/// An object of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransformObject {
    /// Its place among the job's objects, from 0.
    pub(crate) number: i64,
    pub(crate) bucket: String,
    pub(crate) key: String,
    /// As it was when the job began; empty if there was no such object.
    pub(crate) etag: String,
    /// The key of its output.
    pub(crate) output: String,
    pub(crate) status: ObjectStatus,
    /// Records with an answer, and without.
    pub(crate) answered: u64,
    pub(crate) failed: u64,
}

/// Writes the objects of a job.
pub(crate) fn insert_objects(connection: &Connection, job: &str, objects: &[TransformObject]) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT OR IGNORE INTO transform_object VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for object in objects {
        let TransformObject { number, bucket, key, etag, output, status, answered, failed } = object;
        statement.execute(params![job, number, bucket, key, etag, output, status.as_str(), answered, failed])?;
    }
    Ok(())
}

/// The objects of a job, in their order.
pub(crate) fn objects(connection: &Connection, job: &str) -> rusqlite::Result<Vec<TransformObject>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, bucket, key, etag, output, status, answered, failed FROM transform_object
         WHERE job = ? ORDER BY number",
    )?;
    let object = |row: &rusqlite::Row<'_>| {
        Ok(TransformObject {
            number: row.get(0)?,
            bucket: row.get(1)?,
            key: row.get(2)?,
            etag: row.get(3)?,
            output: row.get(4)?,
            status: ObjectStatus::of(&row.get::<_, String>(5)?),
            answered: row.get(6)?,
            failed: row.get(7)?,
        })
    };
    statement.query_map([job], object)?.collect()
}

/// Writes how an object stands.
pub(crate) fn settle_object(
    connection: &Connection,
    job: &str,
    number: i64,
    status: ObjectStatus,
    records: (u64, u64),
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE transform_object SET status = ?, answered = ?, failed = ? WHERE job = ? AND number = ?",
        )?
        .execute(params![status.as_str(), records.0, records.1, job, number])?;
    Ok(())
}
