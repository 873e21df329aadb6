//! `model pack`: a model folder as the archive that SageMaker unpacks.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use aging::{DETECTOR, LANDMARKS, NETWORKS, needed_checkpoint, sam};
use anyhow::{Context, ensure};
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use nn::checkpoint::Checkpoint;
use serde_json::json;

use crate::escape::Shown;
use crate::terminal::progress::Progress;

#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// A model folder with model.safetensors or model.pt, and with face models if they differ from the built-in ones
    model: PathBuf,
    /// The archive to write
    #[arg(long, value_name = "FILE", default_value = "model.tar.gz")]
    out: PathBuf,
    /// A face detector in dlib's format, instead of the folder's
    #[arg(long, value_name = "FILE")]
    detector: Option<PathBuf>,
    /// A 68-point shape predictor in dlib's format, instead of the folder's
    #[arg(long, value_name = "FILE")]
    landmarks: Option<PathBuf>,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(pack: &Pack) -> anyhow::Result<()> {
    let files = files(pack)?;
    let total = files.iter().map(|(_, file)| Ok(file.metadata()?.len())).sum::<io::Result<u64>>()?;
    let unwritable = || format!("the archive {} cannot be written", pack.out.shown());
    let folder = pack.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut options = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // By default, only the owner can read a temporary file. The umask still applies.
        use std::os::unix::fs::PermissionsExt;
        options.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let partial = options.prefix(".model-").tempfile_in(folder).with_context(unwritable)?;
    let mut progress = Progress::bytes("packing");
    let mut packed = 0;
    // Stored, not compressed: weights hardly compress, and the endpoint starts sooner.
    let gzip = GzEncoder::new(BufWriter::new(partial.as_file()), Compression::none());
    let mut archive = tar::Builder::new(gzip);
    for (name, path) in &files {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.shown()))?;
        let bytes = file.metadata()?.len();
        // No owner and no time: the same files make the same archive.
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o644);
        header.set_mtime(0);
        let counted = Counted { file: file.take(bytes), count: &mut packed, on_read: &mut |at| progress.at(at, total) };
        archive.append_data(&mut header, name, counted).with_context(unwritable)?;
    }
    let finished = archive.into_inner().and_then(GzEncoder::finish).and_then(|buffer| buffer.into_inner()?.sync_all());
    finished.with_context(unwritable)?;
    partial.persist(&pack.out).with_context(unwritable)?;
    progress.finish();

    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let bytes = std::fs::metadata(&pack.out)?.len();
    if pack.json {
        print_line!("{}", json!({"file": pack.out, "bytes": bytes, "files": names}))?;
    } else {
        print_line!("{} holds {} in {:.1} MB", pack.out.shown(), names.join(", "), bytes as f64 / 1e6)?;
        if names.len() < 3 {
            print_line!("the built-in face models replace those that it lacks")?;
        }
    }
    Ok(())
}

/// The files to pack, with the names that the container looks for. Each file has been checked to load.
fn files(pack: &Pack) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let folder = &pack.model;
    ensure!(
        folder.is_dir(),
        "there is no folder {0}: make it, and put the checkpoint in it as model.pt: mkdir {0} && cp sam_ffhq_aging.pt {0}/model.pt",
        folder.shown()
    );
    let checkpoint = needed_checkpoint(folder)?;
    let opened = Checkpoint::open(&checkpoint)?;
    sam::identify(&opened)?;
    opened.verify()?;
    let face_model = |name: &'static str, named: &Option<PathBuf>| {
        let in_folder = || Some(folder.join(name)).filter(|file| file.symlink_metadata().is_ok());
        Some((name, named.clone().or_else(in_folder)?))
    };
    let (detector, landmarks) = (face_model(DETECTOR, &pack.detector), face_model(LANDMARKS, &pack.landmarks));
    let networks = NETWORKS.iter().filter_map(|name| face_model(name, &None)).next();
    let path = |file: &Option<(&str, PathBuf)>| file.as_ref().map(|(_, path)| path.clone());
    aging::face_finder(path(&detector).as_deref(), path(&landmarks).as_deref())?;
    let name = aging::CHECKPOINTS.into_iter().find(|name| checkpoint.ends_with(name));
    let name = name.context("a model folder's checkpoint has one of their names")?;
    Ok([Some((name, checkpoint)), detector, landmarks, networks].into_iter().flatten().collect())
}

/// A reader that reports how many bytes have been read.
struct Counted<'a, R> {
    file: R,
    count: &'a mut u64,
    on_read: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        *self.count += read as u64;
        (self.on_read)(*self.count);
        Ok(read)
    }
}
