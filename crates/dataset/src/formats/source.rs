//! What every reader and every writer of a format does.

use std::path::{Path, PathBuf};

use crate::{Classes, DatasetError, Findings, Sample};

/// What readers share: the classes met so far, and what was found wrong. One value may serve several files.
#[derive(Debug, Default)]
pub struct Reading {
    /// The classes, in the order in which they were met.
    pub classes: Classes,
    /// What is wrong with the input, and what the model of annotations cannot hold.
    pub findings: Findings,
}

/// Reads a data set picture by picture.
pub trait Source {
    /// The next picture; `None` at the end. A record that cannot be read becomes a fault of `reading` and is passed over.
    ///
    /// # Errors
    /// A file that cannot be read on.
    fn next(&mut self, reading: &mut Reading) -> Result<Option<Sample>, DatasetError>;
}

/// Writes a data set picture by picture.
///
/// Where classes have names and no numbers, a format of numbers counts them by their names: all of them must be known before the
/// first picture is written.
pub trait Sink {
    /// Whether every picture needs its size in pixels.
    fn needs_size(&self) -> bool {
        false
    }

    /// Whether every picture needs its bytes.
    fn needs_bytes(&self) -> bool {
        false
    }

    /// Writes a picture. What the format cannot hold becomes a loss of `findings`.
    ///
    /// # Errors
    /// A file that cannot be written, or a picture without a size or bytes where they are needed.
    fn write(&mut self, sample: &Sample, classes: &Classes, findings: &mut Findings) -> Result<(), DatasetError>;

    /// Writes what comes after the last picture, and returns the files and folders that now exist.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn finish(&mut self, classes: &Classes, findings: &mut Findings) -> Result<Vec<PathBuf>, DatasetError>;
}

/// How a data set is read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder, or the beginning of the `s3://` URI, of pictures that the data set names without one. Without it, the folder of the
    /// annotations, or `images` in it.
    pub images: Option<String>,
    /// The labelling jobs of Ground Truth to read; none: the job of the file's name, or the only one of a line.
    pub jobs: Vec<String>,
    /// Whether samples of Ground Truth keep their lines, so that a manifest written from them has the same keys.
    pub keeps_lines: bool,
    /// Names of classes: TFRecord's `label_map.pbtxt`.
    pub label_map: Option<PathBuf>,
    /// Names of classes: Open Images' `class-descriptions.csv`.
    pub descriptions: Option<PathBuf>,
    /// Open Images' hierarchy of classes. Objects are repeated for every class above their own.
    pub hierarchy: Option<PathBuf>,
    /// The COCO file whose pictures a file of results means.
    pub results_of: Option<PathBuf>,
}

impl Options {
    /// Where a picture lies that annotations in `folder` call `name`.
    pub(crate) fn place(&self, folder: &Path, name: &str) -> String {
        if name.starts_with("s3://") || Path::new(name).is_absolute() {
            return name.to_owned();
        }
        match &self.images {
            Some(images) => format!("{}/{name}", images.trim_end_matches('/')),
            None => {
                let (beside, below) = (folder.join(name), folder.join("images").join(name));
                let place = if !beside.exists() && below.exists() { below } else { beside };
                place.to_string_lossy().into_owned()
            }
        }
    }
}

/// The folder of a file.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}
