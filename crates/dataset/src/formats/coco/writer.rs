//! Writes a detection file.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use crate::formats::ground_truth::ascii;
use crate::formats::losses::Holds;
use crate::formats::number::Number;
use crate::{Classes, DatasetError, Findings, Sample, Sink};

const HOLDS: Holds = Holds {
    objects: true,
    crowds: true,
    areas: true,
    confidences: true,
    classes_without_name: true,
    labels: false,
    difficult: false,
    truncated: false,
    occluded: false,
    depictions: false,
    weights: false,
    jobs: false,
};

/// Writes a COCO detection file. Pictures and annotations are counted from 0; a category's id is the class's number plus 1.
///
/// Annotations wait in a temporary file until the last picture is known.
pub struct CocoWriter {
    file: PathBuf,
    writer: BufWriter<File>,
    annotations: BufWriter<File>,
    numbers: Vec<i64>,
    pictures: u64,
    objects: u64,
}

impl CocoWriter {
    /// Creates the file.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn create(file: &Path) -> Result<Self, DatasetError> {
        let mut writer = BufWriter::new(File::create(file).map_err(DatasetError::io(file, "written"))?);
        let start = writer.write_all(b"{\"info\": {}, \"licenses\": [], \"images\": [");
        start.map_err(DatasetError::io(file, "written"))?;
        let waiting = tempfile::tempfile().map_err(DatasetError::io("a temporary file", "written"))?;
        let annotations = BufWriter::new(waiting);
        Ok(Self { file: file.to_owned(), writer, annotations, numbers: Vec::new(), pictures: 0, objects: 0 })
    }

    fn append(&mut self, sample: &Sample) -> io::Result<()> {
        let comma = if self.pictures == 0 { "" } else { ", " };
        write!(self.writer, "{comma}{{\"id\": {}, \"file_name\": {}", self.pictures, ascii(&sample.name))?;
        if let Some(size) = sample.size {
            write!(self.writer, ", \"width\": {}, \"height\": {}", size.width, size.height)?;
        }
        self.writer.write_all(b"}")?;
        for object in &sample.objects {
            let comma = if self.objects == 0 { "" } else { ", " };
            let bounds = object.bounds;
            let [left, top, width, height] = [bounds.left, bounds.top, bounds.width, bounds.height].map(Number);
            let category = self.numbers.get(object.class.0 as usize).copied().unwrap_or(0) + 1;
            let area = Number(object.area.unwrap_or(bounds.area()));
            let crowd = u8::from(object.flags.is_crowd);
            write!(
                self.annotations,
                "{comma}{{\"id\": {}, \"image_id\": {}, \"category_id\": {category}, \"segmentation\": [], \"area\": {area}, \
                 \"bbox\": [{left}, {top}, {width}, {height}], \"iscrowd\": {crowd}",
                self.objects, self.pictures
            )?;
            if let Some(confidence) = object.confidence {
                write!(self.annotations, ", \"score\": {}", Number(confidence))?;
            }
            self.annotations.write_all(b"}")?;
            self.objects += 1;
        }
        self.pictures += 1;
        Ok(())
    }

    fn end(&mut self, classes: &Classes) -> io::Result<()> {
        self.writer.write_all(b"], \"annotations\": [")?;
        self.annotations.flush()?;
        let waiting = self.annotations.get_mut();
        waiting.rewind()?;
        io::copy(waiting, &mut self.writer)?;
        self.writer.write_all(b"], \"categories\": [")?;
        let numbers = classes.numbers();
        for (index, (id, class)) in classes.named().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let name = ascii(class.name.as_deref().unwrap_or_default());
            let category = numbers.get(id.0 as usize).copied().unwrap_or(0) + 1;
            write!(self.writer, "{comma}{{\"id\": {category}, \"name\": {name}, \"supercategory\": \"\"}}")?;
        }
        self.writer.write_all(b"]}\n")?;
        self.writer.flush()
    }
}

impl Sink for CocoWriter {
    fn needs_size(&self) -> bool {
        true
    }

    fn write(&mut self, sample: &Sample, classes: &Classes, findings: &mut Findings) -> Result<(), DatasetError> {
        HOLDS.note(sample, classes, findings);
        if self.numbers.len() < classes.len() {
            self.numbers = classes.numbers();
        }
        self.append(sample).map_err(DatasetError::io(&self.file, "written"))
    }

    fn finish(&mut self, classes: &Classes, _: &mut Findings) -> Result<Vec<PathBuf>, DatasetError> {
        self.end(classes).map_err(DatasetError::io(&self.file, "written"))?;
        Ok(vec![self.file.clone()])
    }
}
