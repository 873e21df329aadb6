//! The bytes of an object, from memory or from its file.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};

use super::file::Reader;
use super::intake::blocking;
use super::pieces::{Pieces, Whole};
use super::seal::Opener;

/// The bytes of a range of an object. Nothing that is done to the object later changes them.
pub(crate) struct Contents {
    ready: VecDeque<Bytes>,
    file: Option<Reader>,
    /// Opens the bytes, if they are encrypted.
    opener: Option<Opener>,
}

impl Contents {
    pub(super) fn in_memory(whole: &Whole, range: &Range<u64>) -> Self {
        Self { ready: whole.range(range).into(), file: None, opener: None }
    }

    /// Opens a file, and reads its first bytes.
    pub(super) async fn in_file(path: PathBuf, range: Range<u64>, pieces: Arc<Pieces>) -> io::Result<Self> {
        let (file, first) = blocking(move || Reader::open(&path, range, &pieces)).await?;
        Ok(Self { ready: first.into(), file: Some(file), opener: None })
    }

    /// What these bytes hold, if they are encrypted.
    pub(super) fn opened(self, opener: Option<Opener>) -> Self {
        Self { opener, ..self }
    }

    /// All bytes, in pieces of up to 1 MB.
    pub(crate) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
        stream::try_unfold(self, |mut contents| async move {
            let next = contents.next().await?;
            Ok(next.map(|bytes| (bytes, contents)))
        })
    }

    /// All bytes at once.
    pub(crate) async fn collect(mut self) -> io::Result<Bytes> {
        let first = self.next().await?.unwrap_or_default();
        let Some(second) = self.next().await? else { return Ok(first) };
        let mut all = BytesMut::from(&first[..]);
        all.extend_from_slice(&second);
        while let Some(bytes) = self.next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while let Some(stored) = self.next_stored().await? {
            let Some(opener) = &mut self.opener else { return Ok(Some(stored)) };
            // A chunk is opened when all of it was read.
            let opened = opener.open(&stored)?;
            if !opened.is_empty() {
                return Ok(Some(opened));
            }
        }
        Ok(None)
    }

    async fn next_stored(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(bytes) = self.ready.pop_front() {
            return Ok(Some(bytes));
        }
        let Some(mut file) = self.file.take_if(|file| !file.is_done()) else { return Ok(None) };
        let (file, batch) = blocking(move || file.next().map(|batch| (file, batch))).await?;
        self.file = Some(file);
        self.ready = batch.into();
        Ok(self.ready.pop_front())
    }
}
