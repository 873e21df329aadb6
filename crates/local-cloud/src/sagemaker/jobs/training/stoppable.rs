//! Writing that breaks off when the cloud stops.

use std::io::{self, Write};
use std::sync::Arc;

use crate::journal::Journal;

/// A writer in a blocking task. Such a task cannot be aborted, and would keep the process from ending.
pub(super) struct Stoppable<W> {
    inner: W,
    journal: Arc<Journal>,
}

impl<W: Write> Stoppable<W> {
    pub(super) fn new(inner: W, journal: &Arc<Journal>) -> Self {
        Self { inner, journal: Arc::clone(journal) }
    }

    pub(super) fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for Stoppable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.journal.is_stopping() {
            return Err(io::Error::other("the cloud stops"));
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::durability::Durability;

    #[test]
    fn nothing_is_written_once_the_cloud_stops() {
        let folder = tempfile::tempdir().unwrap();
        let journal =
            Arc::new(Journal::open(&folder.path().join("journal.db"), Clock::default(), Durability::Kill).unwrap());
        let mut writer = Stoppable::new(Vec::new(), &journal);
        writer.write_all(b"before").unwrap();
        journal.stop();
        assert_eq!(writer.write_all(b"after").unwrap_err().to_string(), "the cloud stops");
        assert_eq!(writer.into_inner(), b"before");
    }
}
