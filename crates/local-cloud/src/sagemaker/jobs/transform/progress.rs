//! The answers of an object up to now, in two files that only grow: the output, and a line for each batch. A killed process leaves
//! both, and the next one goes on after the last whole line.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{Stream, stream};
use serde::{Deserialize, Serialize};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The most bytes that are read at once.
const AT_ONCE: usize = 1 << 20;

/// A batch that was answered, or given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) records: u64,
    /// The bytes of its answer in the output.
    pub(super) length: u64,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// The progress of an object.
pub(super) struct Progress {
    output: PathBuf,
    index: PathBuf,
    files: Option<(File, File)>,
    pub(super) entries: Vec<Entry>,
}

impl Progress {
    /// Opens the files of an object in a job's folder, which exists.
    pub(super) async fn open(folder: &Path, number: i64) -> io::Result<Self> {
        let (output, index) = (folder.join(format!("{number}.out")), folder.join(format!("{number}.index")));
        let text = match fs::read(&index).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let length = fs::metadata(&output).await.map(|found| found.len()).unwrap_or(0);
        let (mut entries, mut read, mut end) = (Vec::new(), 0, 0);
        for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let Ok(entry) = serde_json::from_slice::<Entry>(line) else { break };
            // After a power cut the line may be there without its answer.
            if end + entry.length > length {
                break;
            }
            end += entry.length;
            read += line.len() as u64;
            entries.push(entry);
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let files = (options.open(&output).await?, options.open(&index).await?);
        files.0.set_len(end).await?;
        files.1.set_len(read).await?;
        Ok(Self { output, index, files: Some(files), entries })
    }

    /// Adds the next batch, with its answer or the reason why it has none.
    pub(super) async fn add(&mut self, records: u64, answer: Result<&[u8], String>) -> io::Result<()> {
        let (bytes, error) = match answer {
            Ok(bytes) => (bytes, None),
            Err(error) => (&[][..], Some(error)),
        };
        let entry = Entry { records, length: bytes.len() as u64, error };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let (output, index) = self.files.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        // The answer is in its file before its line is.
        output.write_all(bytes).await?;
        output.flush().await?;
        index.write_all(&line).await?;
        index.flush().await?;
        self.entries.push(entry);
        Ok(())
    }

    /// Records with an answer, and without.
    pub(super) fn records(&self) -> (u64, u64) {
        let count = |answered: bool| {
            let counted = self.entries.iter().filter(|entry| entry.error.is_none() == answered);
            counted.map(|entry| entry.records).sum()
        };
        (count(true), count(false))
    }

    /// The output as it is.
    pub(super) fn stream(&self) -> impl Stream<Item = io::Result<Bytes>> + Unpin + use<> {
        read(self.output.clone())
    }

    /// Removes both files.
    pub(super) async fn remove(mut self) {
        self.files = None;
        for path in [&self.output, &self.index] {
            if let Err(error) = fs::remove_file(path).await {
                tracing::warn!(file = %path.display(), %error, "the answers of an object cannot be removed");
            }
        }
    }
}

/// A file, piece by piece.
pub(super) fn read(path: PathBuf) -> impl Stream<Item = io::Result<Bytes>> + Unpin + use<> {
    Box::pin(stream::try_unfold((path, None::<File>), |(path, file)| async move {
        let mut file = match file {
            Some(file) => file,
            None => File::open(&path).await?,
        };
        let mut piece = Vec::with_capacity(AT_ONCE);
        let read = (&mut file).take(AT_ONCE as u64).read_to_end(&mut piece).await?;
        Ok((read > 0).then(|| (Bytes::from(piece), (path, Some(file)))))
    }))
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    async fn output(progress: &Progress) -> String {
        let pieces: Vec<Bytes> = progress.stream().try_collect().await.unwrap();
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn a_next_process_goes_on_after_the_last_whole_batch() {
        let folder = tempfile::tempdir().unwrap();
        let mut progress = Progress::open(folder.path(), 0).await.unwrap();
        progress.add(2, Ok(b"a\nb\n")).await.unwrap();
        progress.add(1, Err("bad".to_owned())).await.unwrap();
        progress.add(1, Ok(b"")).await.unwrap();
        drop(progress);
        // A kill after the next answer, within its line.
        let append = |name: &str, bytes: &[u8]| {
            let mut old = std::fs::read(folder.path().join(name)).unwrap();
            old.extend(bytes);
            std::fs::write(folder.path().join(name), old).unwrap();
        };
        append("0.out", b"half");
        append("0.index", b"{\"records\":1,\"len");
        let mut progress = Progress::open(folder.path(), 0).await.unwrap();
        assert_eq!((progress.entries.len(), progress.records(), output(&progress).await), (3, (3, 1), "a\nb\n".into()));
        progress.add(1, Ok(b"c\n")).await.unwrap();
        assert_eq!(output(&progress).await, "a\nb\nc\n");
        // A power cut that lost the output's end.
        std::fs::write(folder.path().join("0.out"), "a\nb\n").unwrap();
        let progress = Progress::open(folder.path(), 0).await.unwrap();
        assert_eq!(progress.entries.len(), 3);
        progress.remove().await;
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
