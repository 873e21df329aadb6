//! The journal: objects, queues, SageMaker's records and logs in one SQLite file. One transaction writes an object with the events that
//! it causes, and the outcome of a message with everything that follows from it.
//!
//! A killed process loses nothing that was committed. Commits do not wait for the disk: a power cut may cost the last ones, but
//! leaves a sound file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::watch;

use crate::CloudError;
use crate::clock::Clock;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS bucket (
    name TEXT PRIMARY KEY, created INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL, key TEXT NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified INTEGER NOT NULL, attributes TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS object_blob ON object (blob);
CREATE TABLE IF NOT EXISTS multipart_upload (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, attributes TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS part (
    upload TEXT NOT NULL, number INTEGER NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sequencer (
    last INTEGER NOT NULL
) STRICT;
INSERT INTO sequencer SELECT 0 WHERE NOT EXISTS (SELECT * FROM sequencer);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, request_id TEXT NOT NULL, body TEXT NOT NULL,
    sent INTEGER NOT NULL, ready INTEGER NOT NULL, receives INTEGER NOT NULL DEFAULT 0, leased INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS message_ready ON message (queue, leased, ready, id);
-- Models, endpoint configurations and endpoints, whose names are compared without case.
CREATE TABLE IF NOT EXISTS sagemaker (
    kind TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE, created INTEGER NOT NULL, modified INTEGER NOT NULL,
    own INTEGER NOT NULL, description TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sagemaker_tag (
    arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
) STRICT, WITHOUT ROWID;
-- The objects of transform jobs.
CREATE TABLE IF NOT EXISTS transform_object (
    job TEXT NOT NULL COLLATE NOCASE, number INTEGER NOT NULL, bucket TEXT NOT NULL, key TEXT NOT NULL, etag TEXT NOT NULL,
    output TEXT NOT NULL, status TEXT NOT NULL, answered INTEGER NOT NULL, failed INTEGER NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
-- The numbers of events are never used again: a page begins after one of them.
CREATE TABLE IF NOT EXISTS log_stream (
    id INTEGER PRIMARY KEY, log_group TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, bytes INTEGER NOT NULL,
    UNIQUE (log_group, name)
) STRICT;
CREATE TABLE IF NOT EXISTS log_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, time INTEGER NOT NULL, message TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS log_event_order ON log_event (stream, id);
-- Leases end with the process that held them. That was no failed attempt.
UPDATE message SET leased = 0, receives = receives - 1 WHERE leased;
";

pub(crate) struct Journal {
    path: PathBuf,
    connection: Mutex<Connection>,
    committed: watch::Sender<u64>,
    stopping: AtomicBool,
    clock: Clock,
}

impl Journal {
    pub(crate) fn open(path: &Path, clock: Clock) -> Result<Self, CloudError> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| CloudError::Journal { path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            connection: Mutex::new(connection),
            committed: watch::Sender::new(0),
            stopping: AtomicBool::new(false),
            clock,
        })
    }

    /// Runs `work` in one transaction. An error rolls it back.
    pub(crate) fn write<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let result = {
            let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            result
        };
        self.committed.send_modify(|count| *count += 1);
        Ok(result)
    }

    /// Runs `work`, which only reads.
    pub(crate) fn read<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection)
    }

    /// Begins the shutdown. Failures from now on are the shutdown's, so no message is settled any more. Leased messages are
    /// received again after the next start.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The clock of messages and objects.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Changes at every commit: time to look at a queue again.
    pub(crate) fn committed(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// The error of a start that failed at this journal.
    pub(crate) fn unusable(&self, source: rusqlite::Error) -> CloudError {
        CloudError::Journal { path: self.path.clone(), source }
    }
}
