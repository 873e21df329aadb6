//! Redaction: what was deleted through an API also leaves the logs, which are files of child processes and events of CloudWatch Logs.
//!
//! The journal keeps each value until its lines are redacted for the last time, so a kill delays that, and prevents nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};
use rusqlite::{Connection, params};

use crate::journal::Journal;
use crate::log_files::LogFiles;

/// How often new values are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Milliseconds after which a value is redacted for the last time: functions may still log what they do about a deletion.
const LAST: i64 = 15_000;
/// What replaces each byte.
const MASK: u8 = b'x';

/// Asks for the redaction of a value.
pub(crate) fn request(connection: &Connection, value: &str, now: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO redaction (value, requested) VALUES (?, ?)")?
        .execute(params![value, now])?;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum RedactionError {
    #[error("the journal failed")]
    Journal(#[from] rusqlite::Error),
    #[error("a log file failed")]
    File(#[from] io::Error),
    #[error("the values make no pattern")]
    Pattern(#[from] regex::Error),
}

/// Redacts the logs of a cloud.
pub(crate) struct Redactor {
    journal: Arc<Journal>,
    files: LogFiles,
    /// The values that were redacted once.
    seen: BTreeSet<String>,
}

impl Redactor {
    pub(crate) fn new(journal: Arc<Journal>, files: LogFiles) -> Self {
        Self { journal, files, seen: BTreeSet::new() }
    }

    /// Redacts what is asked for, again and again. Never returns.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            let work = tokio::task::spawn_blocking(move || {
                let worked = self.work();
                (self, worked)
            });
            // A panic, or the end of the runtime.
            let Ok((redactor, worked)) = work.await else { return };
            self = redactor;
            if let Err(error) = worked {
                tracing::warn!(error = crate::error::chain(&error), "the logs cannot be redacted");
            }
        }
    }

    /// Redacts once what is asked for, when nothing is logged any more.
    pub(crate) fn finish(mut self) {
        if let Err(error) = self.work() {
            tracing::warn!(error = crate::error::chain(&error), "the logs cannot be redacted");
        }
    }

    /// Redacts new values, and those whose last time has come, which are forgotten then.
    fn work(&mut self) -> Result<(), RedactionError> {
        let now = self.journal.clock().now_millis();
        let requested = self.journal.read(requested)?;
        let last: Vec<&String> =
            requested.iter().filter(|(_, requested)| requested + LAST <= now).map(|(value, _)| value).collect();
        if last.is_empty() && requested.iter().all(|(value, _)| self.seen.contains(value)) {
            return Ok(());
        }
        let pattern = Pattern::new(requested.iter().map(|(value, _)| value.as_str()))?;
        self.files.each(|file| redact_file(file, &pattern))?;
        redact_events(&self.journal, &pattern)?;
        self.journal.write(|transaction| {
            let mut delete =
                transaction.prepare_cached("DELETE FROM redaction WHERE value = ? AND requested + ? <= ?")?;
            last.iter().try_for_each(|value| delete.execute(params![value, LAST, now]).map(|_| ()))
        })?;
        self.seen = requested.iter().map(|(value, _)| value).filter(|value| !last.contains(value)).cloned().collect();
        Ok(())
    }
}

fn requested(connection: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    let mut statement = connection.prepare_cached("SELECT value, requested FROM redaction")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The events are read in pages, so that other work gets its turn.
fn redact_events(journal: &Journal, pattern: &Pattern) -> Result<(), RedactionError> {
    const PAGE: i64 = 2000;
    let mut after = 0_i64;
    loop {
        let page: Vec<(i64, String)> = journal.read(|connection| {
            let mut events =
                connection.prepare_cached("SELECT id, message FROM log_event WHERE id > ? ORDER BY id LIMIT ?")?;
            events.query_map([after, PAGE], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()
        })?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = *last;
        let changed: Vec<(i64, String)> =
            page.into_iter().filter_map(|(id, message)| Some((id, pattern.redacted(message)?))).collect();
        if !changed.is_empty() {
            journal.write(|transaction| {
                let mut update = transaction.prepare_cached("UPDATE log_event SET message = ? WHERE id = ?")?;
                changed.iter().try_for_each(|(id, message)| update.execute(params![message, id]).map(|_| ()))
            })?;
        }
    }
}

/// Overwrites in place. A process that appends meanwhile is not disturbed, since no byte moves.
fn redact_file(path: &Path, pattern: &Pattern) -> io::Result<()> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let places = pattern.places(&bytes);
    if places.is_empty() {
        return Ok(());
    }
    let file = File::options().write(true).open(path)?;
    places.into_iter().try_for_each(|place| write_at(&file, &vec![MASK; place.len()], place.start as u64))
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// Finds values where they stand by themselves: as a whole text, a part of a path or a word.
struct Pattern(Regex);

impl Pattern {
    fn new<'a>(values: impl Iterator<Item = &'a str>) -> Result<Self, regex::Error> {
        let mut values: Vec<&str> = values.collect();
        // Of two that begin alike, the longer one is tried first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let values: Vec<String> = values.into_iter().map(regex::escape).collect();
        RegexBuilder::new(&values.join("|")).size_limit(usize::MAX).build().map(Self)
    }

    fn places(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let stands_alone = |place: &Range<usize>| {
            let (before, after) = (&bytes[..place.start], &bytes[place.end..]);
            let ends = match after {
                [b'.', next, ..] => !is_of_name(*next),
                [b'.'] | [] => true,
                [next, ..] => !is_of_name(*next),
            };
            // A name of a JSON object's member says nothing of its value.
            ends && !before.last().is_some_and(|byte| is_of_name(*byte)) && !after.starts_with(b"\":")
        };
        self.0.find_iter(bytes).map(|found| found.range()).filter(stands_alone).collect()
    }

    /// The text without the values, or `None` if it has none of them.
    fn redacted(&self, text: String) -> Option<String> {
        let places = self.places(text.as_bytes());
        if places.is_empty() {
            return None;
        }
        let mut bytes = text.into_bytes();
        places.into_iter().for_each(|place| bytes[place].fill(MASK));
        String::from_utf8(bytes).ok()
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::clock::Clock;
    use crate::durability::Durability;
    use crate::logs::Logs;

    #[test]
    fn values_are_redacted_where_they_stand_alone() {
        let pattern = Pattern::new(["ada", "ada.1"].into_iter()).unwrap();
        for (text, redacted) in [
            (r#"{"id":"ada","ada":"adam"}"#, r#"{"id":"xxx","ada":"adam"}"#),
            ("uploads/ada and ada.", "uploads/xxx and xxx."),
            ("ada:d9cc ada.1", "xxx:d9cc xxxxx"),
            ("ada.2 ada-1 adam .ada é/ada", "ada.2 ada-1 adam .ada é/xxx"),
        ] {
            assert_eq!(pattern.redacted(text.to_owned()).unwrap(), redacted);
        }
        assert_eq!(pattern.redacted("Ada".to_owned()), None);
        // Every character stands for itself.
        assert_eq!(Pattern::new(["a.b"].into_iter()).unwrap().redacted("axb".to_owned()), None);
    }

    #[tokio::test]
    async fn files_and_events_are_redacted_twice_and_the_value_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::default();
        let path = folder.path().join("journal.db");
        let journal = Arc::new(Journal::open(&path, clock.clone(), Durability::Kill).unwrap());
        let log = folder.path().join("function.log");
        let mut writer = File::options().create(true).append(true).open(&log).unwrap();
        let stream = Logs::new(Arc::clone(&journal)).stream("group", "stream");
        let mut redactor = Redactor::new(Arc::clone(&journal), LogFiles::new(folder.path().to_owned()));
        let messages = || {
            journal.read(|connection| {
                let mut events = connection.prepare("SELECT message FROM log_event ORDER BY id")?;
                events.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
            })
        };

        writer.write_all(b"uploads/ada done\n").unwrap();
        stream.append(vec!["for ada".to_owned(), "for bob".to_owned()]).unwrap();
        journal.write(|transaction| request(transaction, "ada", clock.now_millis())).unwrap();
        redactor.work().unwrap();
        writer.write_all(b"late ada\n").unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "uploads/xxx done\nlate ada\n");
        assert_eq!(messages().unwrap(), ["for xxx", "for bob"]);

        clock.advance(Duration::from_millis(LAST.unsigned_abs()));
        redactor.work().unwrap();
        writer.write_all(b"ada again\n").unwrap();
        redactor.work().unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "uploads/xxx done\nlate xxx\nada again\n");
        assert!(journal.read(requested).unwrap().is_empty());
    }
}
