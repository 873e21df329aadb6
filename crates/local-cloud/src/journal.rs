//! The journal: objects, queues, SageMaker's records and logs in one SQLite file. One transaction writes an object with the events that
//! it causes, and the outcome of a message with everything that follows from it.
//!
//! A killed process loses nothing that was committed. A commit does not wait for the disk. Who acknowledges it does, by
//! [`Journal::durable`], and one wait serves all commits before it.

mod syncer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::hooks::Action;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{oneshot, watch};

use self::syncer::Syncer;
use crate::CloudError;
use crate::clock::Clock;
use crate::durability::Durability;
use crate::mark::{Mark, log_of};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS bucket (
    name TEXT PRIMARY KEY, created INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL, key TEXT NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified INTEGER NOT NULL, attributes TEXT NOT NULL, sequencer INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS object_blob ON object (blob);
CREATE TABLE IF NOT EXISTS multipart_upload (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, attributes TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS part (
    upload TEXT NOT NULL, number INTEGER NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified INTEGER NOT NULL DEFAULT 0, checksum TEXT, seal TEXT,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
-- Configurations of buckets, as XML: CORS, lifecycle, encryption, tags.
CREATE TABLE IF NOT EXISTS bucket_setting (
    bucket TEXT NOT NULL, kind TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (bucket, kind)
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
-- What the logs must not hold any more.
CREATE TABLE IF NOT EXISTS redaction (
    value TEXT PRIMARY KEY, requested INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Leases end with the process that held them. That was no failed attempt.
UPDATE message SET leased = 0, receives = receives - 1 WHERE leased;
";

pub(crate) struct Journal {
    path: PathBuf,
    connection: Mutex<Connection>,
    committed: watch::Sender<u64>,
    /// Whether the transaction that runs has added or changed a message.
    has_messages: Arc<AtomicBool>,
    /// Changes at commits after which a receiver may find a message.
    queued: watch::Sender<()>,
    durability: Durability,
    syncer: Syncer,
    mark: Arc<Mark>,
    /// Whether the mark says that nothing is written any more.
    closed: AtomicBool,
    stopping: AtomicBool,
    clock: Clock,
}

impl Journal {
    pub(crate) fn open(path: &Path, clock: Clock, durability: Durability) -> Result<Self, CloudError> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // The syncer waits for the disk, for many commits at once.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            // Deleted rows are overwritten where that costs no further page.
            connection.pragma_update(None, "secure_delete", "FAST")?;
            connection.execute_batch(SCHEMA)?;
            add_columns(&connection)?;
            hasten(&connection, clock.now_millis())?;
            Ok(connection)
        };
        let connection = open().map_err(|source| CloudError::Journal { path: path.to_owned(), source })?;
        let has_messages = Arc::new(AtomicBool::new(false));
        connection.update_hook(Some(notes_messages(&has_messages)));
        let committed = watch::Sender::new(0);
        let prepared = || {
            if durability == Durability::PowerCut {
                // Else a power cut could take the names of the files away.
                path.parent().map_or(Ok(()), sync_folder)?;
            }
            let mark = Arc::new(Mark::open(path)?);
            let (counted, marked, log) = (committed.clone(), Arc::clone(&mark), log_of(path));
            let sync = move || match durability {
                Durability::PowerCut => marked.advance(|| File::open(&log)?.sync_data()),
                Durability::Kill => marked.advance(|| Ok(())),
            };
            let syncer = Syncer::new(move || *counted.borrow(), sync)?;
            Ok((mark, syncer))
        };
        let (mark, syncer) = prepared().map_err(|source| CloudError::DataFolder { path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            connection: Mutex::new(connection),
            committed,
            has_messages,
            queued: watch::Sender::new(()),
            durability,
            syncer,
            mark,
            closed: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            clock,
        })
    }

    /// Runs `work` in one transaction. An error rolls it back.
    pub(crate) fn write<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (result, has_messages) = self.commit(work)?;
        if has_messages {
            self.queued.send_replace(());
        }
        Ok(result)
    }

    /// Like [`write`](Self::write), for work that makes no message ready: it leases one, so no other receiver has to look again.
    pub(crate) fn lease<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.commit(work).map(|(result, _)| result)
    }

    /// Runs `work` in one transaction. Returns also whether it added or changed a message.
    fn commit<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<(T, bool), E> {
        let committed = {
            let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // An earlier transaction may have failed after it noted one.
            self.has_messages.store(false, Ordering::Relaxed);
            let result = work(&transaction)?;
            transaction.commit()?;
            (result, self.has_messages.load(Ordering::Relaxed))
        };
        self.committed.send_modify(|count| *count += 1);
        if self.closed.swap(false, Ordering::AcqRel) {
            self.once_durable(|| ());
        }
        Ok(committed)
    }

    /// Waits until the disk has every commit so far, if that is what acknowledged writes survive.
    ///
    /// # Errors
    /// The disk failed. Whether it has the commits is unknown.
    pub(crate) async fn durable(&self) -> io::Result<()> {
        if self.syncer.synced() >= *self.committed.borrow() {
            return Ok(());
        }
        match self.durability {
            Durability::PowerCut => {
                let (done, synced) = oneshot::channel();
                self.syncer.request(|result| _ = done.send(result.clone()));
                let result = synced.await.map_err(io::Error::other)?;
                result.map_err(|error| io::Error::new(error.kind(), error))
            }
            Durability::Kill => {
                self.once_durable(|| ());
                Ok(())
            }
        }
    }

    /// Runs `then` when the disk has every commit so far. It does not run if the disk fails.
    pub(crate) fn once_durable(&self, then: impl FnOnce() + Send + 'static) {
        self.syncer.request(|result| match result {
            Ok(()) => then(),
            Err(error) => tracing::error!(%error, "the disk does not take the journal"),
        });
    }

    /// What acknowledged writes survive.
    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// Empties the log and marks the journal as whole, so that the next start knows it.
    pub(crate) fn close(&self) -> Result<(), CloudError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
            .map_err(|source| self.unusable(source))?;
        self.mark.close().map_err(|source| CloudError::DataFolder { path: self.path.clone(), source })?;
        self.closed.store(true, Ordering::Release);
        Ok(())
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

    /// Changes when a message was added or changed: time to look at a queue again.
    pub(crate) fn queued(&self) -> watch::Receiver<()> {
        self.queued.subscribe()
    }

    /// The error of a start that failed at this journal.
    pub(crate) fn unusable(&self, source: rusqlite::Error) -> CloudError {
        CloudError::Journal { path: self.path.clone(), source }
    }
}

/// Notes each message that is added or changed. The removal of one gives receivers nothing to do.
fn notes_messages(noted: &Arc<AtomicBool>) -> impl FnMut(Action, &str, &str, i64) + Send + use<> {
    let noted = Arc::clone(noted);
    move |action, _, table, _| {
        if table == "message" && action != Action::SQLITE_DELETE {
            noted.store(true, Ordering::Relaxed);
        }
    }
}

/// Makes messages ready that would wait for longer than any: the clock was set back since they were sent.
fn hasten(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    let (longest, longest_hidden) = (900_000, 43_200_000);
    connection.execute(
        "UPDATE message SET ready = ?1 WHERE ready > ?1 + iif(queue LIKE 'sqs/%', ?3, ?2)",
        (now, longest, longest_hidden),
    )?;
    Ok(())
}

/// The columns that tables of earlier versions lack: table, column and type.
const ADDED: [(&str, &str, &str); 4] = [
    // A lower sequencer than the object's own makes its event count for nothing.
    ("object", "sequencer", "INTEGER NOT NULL DEFAULT 0"),
    ("part", "modified", "INTEGER NOT NULL DEFAULT 0"),
    ("part", "checksum", "TEXT"),
    ("part", "seal", "TEXT"),
];

fn add_columns(connection: &Connection) -> rusqlite::Result<()> {
    for (table, column, kind) in ADDED {
        let known = connection.prepare("SELECT 1 FROM pragma_table_info(?) WHERE name = ?")?.exists([table, column])?;
        if !known {
            connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))?;
        }
    }
    Ok(())
}

/// Gives the disk the names of a folder's files.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Other systems cannot open a folder, and write names at once.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_journal_of_an_earlier_version_is_extended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let earlier = SCHEMA.replace(" sequencer INTEGER NOT NULL DEFAULT 0,", "");
        let earlier = earlier.replace("    modified INTEGER NOT NULL DEFAULT 0, checksum TEXT, seal TEXT,\n", "");
        assert!(
            !earlier.contains("sequencer INTEGER") && !earlier.contains("checksum") && !earlier.contains("seal"),
            "{earlier}"
        );
        Connection::open(&path).unwrap().execute_batch(&earlier).unwrap();
        let journal = Journal::open(&path, Clock::default(), Durability::PowerCut).unwrap();
        let insert = "INSERT INTO object VALUES ('b', 'k', 'f', 1, 'e', 2, '{}', 3)";
        journal.write(|transaction| transaction.execute(insert, ())).unwrap();
        let insert = "INSERT INTO part VALUES ('u', 1, 'f', 1, 'e', 2, NULL, NULL)";
        journal.write(|transaction| transaction.execute(insert, ())).unwrap();
        journal.durable().await.unwrap();
    }

    #[tokio::test]
    async fn work_that_waits_for_the_disk_follows_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        for durability in [Durability::PowerCut, Durability::Kill] {
            let journal = Journal::open(&path, Clock::default(), durability).unwrap();
            journal.write(|transaction| transaction.execute("INSERT INTO bucket VALUES (random(), 0)", ())).unwrap();
            let (done, removed) = oneshot::channel();
            journal.once_durable(|| _ = done.send(()));
            removed.await.unwrap();
            journal.durable().await.unwrap();
            assert_eq!(journal.syncer.synced(), 1);
        }
    }
}
