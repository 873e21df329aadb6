//! A body that is written to its file while it arrives.

use std::io;
use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};

use super::file::{Draft, Folder, Writer};
use super::pieces::{PIECE, Piece, Pieces, Whole};
use super::recent::Recent;

/// The most pieces of an upload that wait for the disk. The sender waits with them.
const MOST_WAITING: usize = 8;

/// Takes in a body.
pub(super) struct Intake {
    pieces: Arc<Pieces>,
    blobs: Folder,
    /// Whether the whole body has to stay in memory, whatever its size.
    keeps_all: bool,
    size: u64,
    /// The piece that is being filled.
    piece: Option<Piece>,
    /// All full pieces. `None`: the body is too large to be held.
    held: Option<Vec<Arc<Piece>>>,
    /// Full pieces that are not being written yet.
    waiting: Vec<Arc<Piece>>,
    file: Target,
}

/// The file of a body.
enum Target {
    /// There is none yet: a body of one piece is written at its end.
    None,
    /// Pieces are being written, or were.
    Busy(JoinHandle<io::Result<Writer>>),
    /// It could not be written.
    Failed(io::Error),
}

/// A body that has arrived.
pub(super) struct Arrived {
    /// Its file, or why there is none.
    pub(super) file: io::Result<Draft>,
    /// Its bytes, unless it is too large to be held.
    pub(super) whole: Option<Whole>,
}

impl Intake {
    /// An upload: its sender is told if the disk fails, and waits for a slow one.
    pub(super) fn of_upload(pieces: &Arc<Pieces>, blobs: Folder) -> Self {
        Self::new(pieces, blobs, false)
    }

    /// The output of a service, which cannot be sent again: it stays in memory, so that a disk that fails or is slow does no harm.
    pub(super) fn of_output(pieces: &Arc<Pieces>, blobs: Folder) -> Self {
        Self::new(pieces, blobs, true)
    }

    fn new(pieces: &Arc<Pieces>, blobs: Folder, keeps_all: bool) -> Self {
        Self {
            pieces: Arc::clone(pieces),
            blobs,
            keeps_all,
            size: 0,
            piece: None,
            held: Some(Vec::new()),
            waiting: Vec::new(),
            file: Target::None,
        }
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    /// The file of an upload cannot be written. With an output, that is found at its end.
    pub(super) async fn add(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            if let Some(full) = self.piece.take_if(|piece| piece.is_full()) {
                self.push(full).await?;
            }
            self.piece.get_or_insert_with(|| self.pieces.take()).append(&mut bytes);
        }
        Ok(())
    }

    /// The body is complete.
    pub(super) async fn finish(mut self) -> Arrived {
        if let Some(mut last) = self.piece.take() {
            last.pad();
            self.hold(Arc::new(last));
        }
        let waiting = std::mem::take(&mut self.waiting);
        let file = match self.idle().await {
            Ok(writer) => {
                let (draft, large) = (Draft::new(self.blobs.clone()), self.size > PIECE as u64);
                blocking(move || {
                    let mut writer = writer.map_or_else(|| Writer::create(draft, large), Ok)?;
                    writer.write(&waiting)?;
                    writer.finish()
                })
                .await
            }
            Err(error) => Err(error),
        };
        Arrived { file, whole: self.held.map(Whole::new) }
    }

    async fn push(&mut self, full: Piece) -> io::Result<()> {
        self.hold(Arc::new(full));
        let must_wait = !self.keeps_all && self.waiting.len() > MOST_WAITING;
        if matches!(&self.file, Target::Busy(writing) if !writing.is_finished()) && !must_wait {
            return Ok(());
        }
        match self.idle().await {
            Ok(writer) => {
                let (draft, pieces) = (Draft::new(self.blobs.clone()), std::mem::take(&mut self.waiting));
                self.file = Target::Busy(spawn_blocking(move || {
                    let mut writer = writer.map_or_else(|| Writer::create(draft, true), Ok)?;
                    writer.write(&pieces)?;
                    Ok(writer)
                }));
                Ok(())
            }
            Err(error) if self.keeps_all => {
                self.waiting.clear();
                self.file = Target::Failed(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn hold(&mut self, piece: Arc<Piece>) {
        if !self.keeps_all && !usize::try_from(self.size).is_ok_and(Recent::takes) {
            self.held = None;
        }
        if let Some(held) = &mut self.held {
            held.push(Arc::clone(&piece));
        }
        self.waiting.push(piece);
    }

    /// The writer, when it has nothing to do. `None`: there is no file yet.
    async fn idle(&mut self) -> io::Result<Option<Writer>> {
        match std::mem::replace(&mut self.file, Target::None) {
            Target::None => Ok(None),
            Target::Busy(writing) => writing.await.map_err(io::Error::other).flatten().map(Some),
            Target::Failed(error) => Err(error),
        }
    }
}

/// Writes the file of a body that is in memory.
pub(super) async fn write(whole: &Whole, blobs: Folder) -> io::Result<Draft> {
    let whole = whole.clone();
    blocking(move || {
        let mut writer = Writer::create(Draft::new(blobs), whole.pieces().len() > 1)?;
        writer.write(whole.pieces())?;
        writer.finish()
    })
    .await
}

/// Runs work of the disk on a thread for blocking work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
