//! Results of a detector: a list of boxes with scores.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::table::{self, Image, Row, Table};
use crate::annotations::{Sample, Size};
use crate::formats::losses::Holds;
use crate::formats::number::Number;
use crate::formats::source::folder_of;
use crate::{Classes, DatasetError, Findings, Options, Reading, Sink, Source};

/// Reads results. Without [`Options::results_of`], a picture's id is its name.
pub struct CocoResults {
    file: PathBuf,
    options: Options,
    images: HashMap<i64, Image>,
    rows: std::iter::Peekable<std::vec::IntoIter<Row>>,
}

impl CocoResults {
    /// Reads a file, and the file of the pictures if one is named.
    ///
    /// # Errors
    /// [`DatasetError::Io`], and [`DatasetError::Refused`] for what is no list of results.
    pub fn open(file: &Path, options: &Options, reading: &mut Reading) -> Result<Self, DatasetError> {
        Self::read(file, table::open(file)?, options, reading)
    }

    /// Reads results of this name from anywhere.
    ///
    /// # Errors
    /// Those of [`CocoResults::open`].
    pub fn read(file: &Path, bytes: impl Read, options: &Options, reading: &mut Reading) -> Result<Self, DatasetError> {
        let images = match &options.results_of {
            Some(other) => Table::read(other, reading)?.images,
            None => Vec::new(),
        };
        let mut rows = Table::parse_results(file, bytes, reading)?.rows;
        rows.sort_by_key(|row| row.image_id);
        let images = images.into_iter().map(|image| (image.id, image)).collect();
        Ok(Self { file: file.to_owned(), options: options.clone(), images, rows: rows.into_iter().peekable() })
    }
}

impl Source for CocoResults {
    fn next(&mut self, _: &mut Reading) -> Result<Option<Sample>, DatasetError> {
        let Some(id) = self.rows.peek().map(|row| row.image_id) else { return Ok(None) };
        let mut sample = Sample { is_annotated: true, id: Some(id), ..Sample::default() };
        sample.name = id.to_string();
        if let Some(image) = self.images.get(&id) {
            sample.name.clone_from(&image.file_name);
            let size = Size { width: image.width, height: image.height, depth: 3 };
            sample.size = (size.width > 0 && size.height > 0).then_some(size);
        }
        sample.place = self.options.place(folder_of(&self.file), &sample.name);
        while let Some(row) = self.rows.next_if(|row| row.image_id == id) {
            sample.objects.push(row.object);
        }
        Ok(Some(sample))
    }
}

const HOLDS: Holds = Holds {
    objects: true,
    confidences: true,
    classes_without_name: true,
    labels: false,
    crowds: false,
    difficult: false,
    truncated: false,
    occluded: false,
    depictions: false,
    areas: false,
    weights: false,
    jobs: false,
};

/// Writes results. Pictures without an id are counted from 0. The list names neither pictures nor classes.
pub struct CocoResultsWriter {
    file: PathBuf,
    writer: BufWriter<File>,
    numbers: Vec<i64>,
    pictures: i64,
    objects: u64,
}

impl CocoResultsWriter {
    /// Creates the file.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn create(file: &Path) -> Result<Self, DatasetError> {
        let created = File::create(file).map_err(DatasetError::io(file, "written"))?;
        let writer = BufWriter::new(created);
        Ok(Self { file: file.to_owned(), writer, numbers: Vec::new(), pictures: 0, objects: 0 })
    }
}

impl Sink for CocoResultsWriter {
    fn write(&mut self, sample: &Sample, classes: &Classes, findings: &mut Findings) -> Result<(), DatasetError> {
        HOLDS.note(sample, classes, findings);
        if self.numbers.len() < classes.len() {
            self.numbers = classes.numbers();
        }
        let id = sample.id.unwrap_or(self.pictures);
        self.pictures += 1;
        let sure = sample.objects.iter().filter(|object| object.confidence.is_some()).count();
        findings.loss("boxes without a confidence: written with a score of 1", sample.objects.len() - sure);
        for object in &sample.objects {
            let start = if self.objects == 0 { "[" } else { ",\n" };
            self.objects += 1;
            let bounds = object.bounds;
            let [x, y, width, height] = [bounds.left, bounds.top, bounds.width, bounds.height].map(Number);
            let category = self.numbers.get(object.class.0 as usize).copied().unwrap_or(0) + 1;
            let score = Number(object.confidence.unwrap_or(1.0));
            write!(
                self.writer,
                "{start}{{\"image_id\": {id}, \"category_id\": {category}, \"bbox\": [{x}, {y}, {width}, {height}], \"score\": {score}}}"
            )
            .map_err(DatasetError::io(&self.file, "written"))?;
        }
        Ok(())
    }

    fn finish(&mut self, _: &Classes, _: &mut Findings) -> Result<Vec<PathBuf>, DatasetError> {
        let end = if self.objects == 0 { "[]\n" } else { "]\n" };
        let written = self.writer.write_all(end.as_bytes()).and_then(|()| self.writer.flush());
        written.map_err(DatasetError::io(&self.file, "written"))?;
        Ok(vec![self.file.clone()])
    }
}
