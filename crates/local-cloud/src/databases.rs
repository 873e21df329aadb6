//! The two databases of a data folder at a start: whether they are sound, and not older than their marks.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::error::CloudError;
use crate::mark::{self, Verdict};
use crate::recovery::Recovery;
use crate::s3::{ObjectStore, StoreError};

/// What a start without the journal does.
const WITHOUT_JOURNAL: &str = "a start without it knows no object, keeps all bytes, and takes new uploads";
/// What a start without the tables does.
const WITHOUT_TABLES: &str = "a start without it makes the items again from the objects";

/// The databases of a data folder.
pub(crate) struct Databases {
    pub(crate) journal: PathBuf,
    pub(crate) tables: PathBuf,
    is_journal_whole: bool,
    damage: Vec<String>,
}

impl Databases {
    /// Checks the databases before they are opened.
    ///
    /// # Errors
    /// A database is damaged so that it cannot be used, or a file cannot be read.
    pub(crate) fn check(data: &Path) -> Result<Self, CloudError> {
        let (journal, tables) = (data.join("journal.db"), data.join("dynamodb.db"));
        let mut damage = Vec::new();
        let mut is_whole = |path: &Path, without| {
            let verdict =
                mark::check(path).map_err(|source| CloudError::DataFolder { path: path.to_owned(), source })?;
            check_structure(path, without)?;
            let whole = verdict == Verdict::Whole;
            if let Verdict::Damaged(what) = verdict {
                damage.push(what);
            }
            Ok::<_, CloudError>(whole)
        };
        let is_journal_whole = is_whole(&journal, WITHOUT_JOURNAL)?;
        is_whole(&tables, WITHOUT_TABLES)?;
        Ok(Self { journal, tables, is_journal_whole, damage })
    }

    /// Compares the journal with the bytes of the store. After damage, every object is announced again.
    pub(crate) fn recover(self, store: &ObjectStore) -> Result<Recovery, StoreError> {
        let mut recovery = Recovery { damage: self.damage, ..Recovery::default() };
        store.recover(self.is_journal_whole, &mut recovery)?;
        // Work that an older database does not know of has to be done again, and that of a whole one has not.
        let replay = (!recovery.damage.is_empty()).then_some("recovery");
        if replay.is_some() || !recovery.lost.is_empty() {
            recovery.announced = store.announce(replay)?;
        }
        Ok(recovery)
    }
}

/// SQLite's own check of a database's structure.
fn check_structure(path: &Path, without: &'static str) -> Result<(), CloudError> {
    if !path.exists() {
        return Ok(());
    }
    let found = || -> rusqlite::Result<String> {
        // A connection that may write would empty the log when it is closed.
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
    };
    let damaged = |problem| CloudError::Damaged { path: path.to_owned(), problem, without };
    match found() {
        Ok(result) if result == "ok" => Ok(()),
        Ok(result) => Err(damaged(result)),
        Err(error) => match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Err(damaged(error.to_string()))
            }
            // The one that opens it to write says why.
            _ => Ok(()),
        },
    }
}
