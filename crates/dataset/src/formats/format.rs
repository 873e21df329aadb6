//! The formats by name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::coco::{Coco, CocoResults, CocoResultsWriter, CocoWriter};
use super::folders::{Folders, FoldersWriter, Naming, PetsWriter};
use super::ground_truth::{GroundTruth, GroundTruthWriter};
use super::open_images::{OpenImages, OpenImagesWriter};
use super::plain_text::{PlainText, PlainTextWriter};
use super::tfrecord::{self, Compression, TfRecord, TfRecordWriter};
use super::voc::{Voc, VocWriter};
use crate::{DatasetError, Options, Pictures, Reading, Sink, Source};

/// A format of data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// An output manifest of SageMaker Ground Truth.
    GroundTruth,
    /// COCO's detection file.
    Coco,
    /// COCO's results.
    CocoResults,
    /// TFRecord of `tf.train.Example`.
    TfRecord,
    /// A folder of Pascal VOC's documents.
    Voc,
    /// A folder of text files as Cartucho's `mAP` reads them.
    PlainText,
    /// A folder for each class.
    Folders,
    /// A folder of pictures with their class in the name.
    Pets,
    /// A CSV file of Open Images.
    OpenImages,
}

/// How a data set is written.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The job of a Ground Truth manifest.
    pub job: String,
    /// Files that a TFRecord is spread over.
    pub shards: u32,
    /// How a TFRecord is compressed.
    pub compression: Compression,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 9] = [
        Self::GroundTruth,
        Self::Coco,
        Self::CocoResults,
        Self::TfRecord,
        Self::Voc,
        Self::PlainText,
        Self::Folders,
        Self::Pets,
        Self::OpenImages,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GroundTruth => "ground-truth",
            Self::Coco => "coco",
            Self::CocoResults => "coco-results",
            Self::TfRecord => "tfrecord",
            Self::Voc => "voc",
            Self::PlainText => "text",
            Self::Folders => "folders",
            Self::Pets => "pets",
            Self::OpenImages => "open-images",
        }
    }

    /// The format that the name of a file or folder gives. `None`: it gives none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let ends = |end: &str| name.ends_with(end);
        if ends(".manifest") || ends(".jsonl") {
            return Some(Self::GroundTruth);
        }
        if name.contains(".record") || name.contains(".tfrecord") {
            return Some(Self::TfRecord);
        }
        if ends(".json") {
            return Some(if starts_with_list(path) { Self::CocoResults } else { Self::Coco });
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => return Some(Self::OpenImages),
            Some("xml") => return Some(Self::Voc),
            Some("txt") => return Some(Self::PlainText),
            _ => {}
        }
        if !path.is_dir() {
            return None;
        }
        if path.join("Annotations").is_dir() {
            return Some(Self::Voc);
        }
        let entries = super::file_names::entries(path).ok()?;
        let has =
            |extension: &str| entries.iter().any(|entry| entry.extension().is_some_and(|known| known == extension));
        let pet =
            |entry: &Path| entry.file_name().and_then(|name| name.to_str()).and_then(super::folders::pet).is_some();
        if has("xml") {
            Some(Self::Voc)
        } else if entries.iter().any(|entry| pet(entry)) || path.join("images").is_dir() {
            Some(Self::Pets)
        } else if has("txt") {
            Some(Self::PlainText)
        } else {
            entries.iter().any(|entry| entry.is_dir()).then_some(Self::Folders)
        }
    }

    /// Opens a data set. `pictures` gives sizes that a format lacks.
    ///
    /// # Errors
    /// [`DatasetError`]
    pub fn open<'p>(
        self,
        path: &Path,
        options: &Options,
        pictures: &'p dyn Pictures,
        reading: &mut Reading,
    ) -> Result<Box<dyn Source + 'p>, DatasetError> {
        Ok(match self {
            Self::GroundTruth => Box::new(GroundTruth::open(path, options)?),
            Self::Coco => Box::new(Coco::open(path, options, reading)?),
            Self::CocoResults => Box::new(CocoResults::open(path, options, reading)?),
            Self::TfRecord => Box::new(TfRecord::open(path, options, reading)?),
            Self::Voc => Box::new(Voc::open(path, options)?),
            Self::PlainText => Box::new(PlainText::open(path, options)?),
            Self::Folders => Box::new(Folders::open(path, Naming::Folder, options, reading)?),
            Self::Pets => Box::new(Folders::open(path, Naming::Pets, options, reading)?),
            Self::OpenImages => Box::new(OpenImages::open(path, options, pictures)?),
        })
    }

    /// Creates a data set: a file, or a folder with the formats of folders.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn create(self, path: &Path, target: &Target) -> Result<Box<dyn Sink>, DatasetError> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(DatasetError::io(parent, "made"))?;
        }
        Ok(match self {
            Self::GroundTruth => Box::new(GroundTruthWriter::create(path, &target.job)?),
            Self::Coco => Box::new(CocoWriter::create(path)?),
            Self::CocoResults => Box::new(CocoResultsWriter::create(path)?),
            Self::TfRecord => Box::new(TfRecordWriter::create(path, target.shards, target.compression)?),
            Self::Voc => Box::new(VocWriter::create(path)?),
            Self::PlainText => Box::new(PlainTextWriter::create(path)?),
            Self::Folders => Box::new(FoldersWriter::create(path)?),
            Self::Pets => Box::new(PetsWriter::create(path)?),
            Self::OpenImages => Box::new(OpenImagesWriter::create(path)?),
        })
    }

    /// The files that [`Format::create`] makes: the shards of a TFRecord. Formats of folders have one, the folder.
    #[must_use]
    pub fn files(self, path: &Path, target: &Target) -> Vec<PathBuf> {
        match self {
            Self::TfRecord => (0..target.shards).map(|shard| tfrecord::name(path, shard, target.shards)).collect(),
            _ => vec![path.to_owned()],
        }
    }

    /// The name of the file or folder that holds `stem`, such as `train.json`.
    #[must_use]
    pub fn file_name(self, stem: &str) -> String {
        match self {
            Self::GroundTruth => format!("{stem}.manifest"),
            Self::Coco | Self::CocoResults => format!("{stem}.json"),
            Self::TfRecord => format!("{stem}.record"),
            Self::OpenImages => format!("{stem}.csv"),
            Self::Voc | Self::PlainText | Self::Folders | Self::Pets => stem.to_owned(),
        }
    }
}

/// Whether a file's first letter is `[`.
fn starts_with_list(path: &Path) -> bool {
    use std::io::{BufRead, BufReader};
    let Ok(file) = std::fs::File::open(path) else { return false };
    let mut reader = BufReader::new(file);
    let first = reader.fill_buf().ok().and_then(|bytes| bytes.iter().find(|byte| !byte.is_ascii_whitespace()).copied());
    first == Some(b'[')
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> = Self::ALL.iter().map(|format| format.name()).collect();
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| format!("{} work", names.join(", ")))
    }
}
