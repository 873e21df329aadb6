//! Reads a folder of documents.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::document::Document;
use crate::annotations::{Flags, Object, Rectangle, Sample, Size};
use crate::formats::file_names::entries;
use crate::{DatasetError, Options, Reading, Source};

/// The most bytes of a document.
const MAX_BYTES: u64 = 64 << 20;

/// Reads Pascal VOC: one document; a folder of documents; or a folder with `Annotations` and `JPEGImages`.
///
/// VOC counts pixels from 1 and includes both ends, so a box's left edge is one less than its `xmin`.
pub struct Voc {
    files: std::vec::IntoIter<PathBuf>,
    folder: PathBuf,
    options: Options,
}

impl Voc {
    /// Lists the documents.
    ///
    /// # Errors
    /// [`DatasetError::Io`], and [`DatasetError::Refused`] where there is no document.
    pub fn open(path: &Path, options: &Options) -> Result<Self, DatasetError> {
        let annotations = path.join("Annotations");
        let folder = if annotations.is_dir() { &annotations } else { path };
        let files = if path.is_file() { vec![path.to_owned()] } else { entries(folder)? };
        let is_document = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "xml");
        let files: Vec<PathBuf> = files.into_iter().filter(is_document).collect();
        if files.is_empty() {
            return Err(DatasetError::refused(path, "no .xml is there: a folder of Pascal VOC's documents works"));
        }
        let around = if path.is_file() { path.parent().unwrap_or(path) } else { path };
        // A document may be in `Annotations` itself.
        let beside = if around.ends_with("Annotations") { around.parent().unwrap_or(around) } else { around };
        let pictures = beside.join("JPEGImages");
        let folder = if pictures.is_dir() { pictures } else { around.to_owned() };
        Ok(Self { files: files.into_iter(), folder, options: options.clone() })
    }

    fn sample(&self, text: &str, file: &Path, reading: &mut Reading) -> Result<Sample, String> {
        let document = Document::parse(text).map_err(|error| error.to_string())?;
        let name = match &*document.filename {
            "" => format!("{}.jpg", file.file_stem().unwrap_or_default().to_string_lossy()),
            name => name.to_owned(),
        };
        let side = |side: Option<f64>| side.filter(|side| *side >= 1.0 && *side <= 4e9).map(|side| side as u32);
        let depth = if document.size[2] == Some(1.0) { 1 } else { 3 };
        let size = side(document.size[0]).zip(side(document.size[1]));
        let mut sample = Sample {
            place: self.options.place(&self.folder, &name),
            name,
            size: size.map(|(width, height)| Size { width, height, depth }),
            is_annotated: true,
            ..Sample::default()
        };
        for (index, object) in document.objects.iter().enumerate() {
            if object.name.is_empty() {
                return Err(format!("object {index} has no name"));
            }
            let [Some(left), Some(top), Some(right), Some(bottom)] = object.edges else {
                return Err(format!("object {index} has no whole bndbox"));
            };
            let bounds = Rectangle::between([left - 1.0, top - 1.0, right, bottom]);
            let flags = Flags {
                is_difficult: object.is_difficult,
                is_truncated: object.is_truncated,
                is_occluded: object.is_occluded,
                ..Flags::default()
            };
            sample.objects.push(Object { flags, ..Object::new(reading.classes.of_name(&object.name), bounds) });
        }
        reading.findings.loss("parts of objects: left out", document.parts);
        Ok(sample)
    }
}

impl Source for Voc {
    fn next(&mut self, reading: &mut Reading) -> Result<Option<Sample>, DatasetError> {
        loop {
            let Some(file) = self.files.next() else { return Ok(None) };
            let mut text = String::new();
            let opened = File::open(&file).map_err(DatasetError::io(&file, "opened"))?;
            let read = opened.take(MAX_BYTES).read_to_string(&mut text);
            match read.map_err(|error| error.to_string()).and_then(|_| self.sample(&text, &file, reading)) {
                Ok(sample) => return Ok(Some(sample)),
                Err(reason) => reading.findings.fault(&file, None, reason),
            }
        }
    }
}
