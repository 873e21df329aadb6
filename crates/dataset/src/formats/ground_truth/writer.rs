//! Writes a manifest.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::line::{Line, ascii};
use crate::formats::losses::Holds;
use crate::formats::number::Number;
use crate::{ClassId, Classes, DatasetError, Findings, Sample, Sink};

const HOLDS: Holds = Holds {
    objects: true,
    labels: true,
    confidences: true,
    jobs: true,
    classes_without_name: true,
    crowds: false,
    difficult: false,
    truncated: false,
    occluded: false,
    depictions: false,
    areas: false,
    weights: false,
};

/// Writes an output manifest of Ground Truth, with one job.
///
/// A sample that was read with its line is written with that line: the job's two keys get the new name, and everything else stays.
pub struct GroundTruthWriter<W> {
    file: PathBuf,
    job: String,
    writer: W,
    numbers: Vec<i64>,
}

impl GroundTruthWriter<BufWriter<File>> {
    /// Creates the file. `job` names the two keys of each line.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn create(file: &Path, job: &str) -> Result<Self, DatasetError> {
        let created = File::create(file).map_err(DatasetError::io(file, "written"))?;
        Ok(Self::new(file, BufWriter::new(created), job))
    }
}

impl<W: Write> GroundTruthWriter<W> {
    /// Writes to anything. Errors name `file`.
    pub fn new(file: &Path, writer: W, job: &str) -> Self {
        Self { file: file.to_owned(), job: job.to_owned(), writer, numbers: Vec::new() }
    }

    fn number(&self, class: ClassId) -> i64 {
        self.numbers.get(class.0 as usize).copied().unwrap_or(i64::from(class.0))
    }

    fn line(&self, sample: &Sample, classes: &Classes) -> String {
        let job = &self.job;
        let mut line = format!("{{\"source-ref\": {}", ascii(&sample.place));
        if !sample.is_annotated {
            line.push('}');
            return line;
        }
        // Writing to a string cannot fail.
        let _ = write!(line, ", {}: ", ascii(job));
        if sample.objects.is_empty() && !sample.labels.is_empty() {
            self.push_labels(&mut line, sample, classes);
        } else {
            self.push_boxes(&mut line, sample, classes);
        }
        let provenance = &sample.provenance;
        let named = provenance.job.clone().unwrap_or_else(|| format!("labeling-job/{job}"));
        let human = if provenance.is_human.unwrap_or(false) { "yes" } else { "no" };
        let _ = write!(line, ", \"job-name\": {}, \"human-annotated\": \"{human}\"", ascii(&named));
        if let Some(created) = &provenance.created {
            let _ = write!(line, ", \"creation-date\": {}", ascii(created));
        }
        line.push_str("}}");
        line
    }

    fn push_boxes(&self, line: &mut String, sample: &Sample, classes: &Classes) {
        line.push_str("{\"annotations\": [");
        for (index, object) in sample.objects.iter().enumerate() {
            let bounds = object.bounds;
            let [left, top, width, height] = [bounds.left, bounds.top, bounds.width, bounds.height].map(Number);
            let _ = write!(
                line,
                "{}{{\"class_id\": {}, \"left\": {left}, \"top\": {top}, \"width\": {width}, \"height\": {height}}}",
                comma(index),
                self.number(object.class)
            );
        }
        line.push_str("], \"image_size\": [");
        if let Some(size) = sample.size {
            let _ =
                write!(line, "{{\"width\": {}, \"height\": {}, \"depth\": {}}}", size.width, size.height, size.depth);
        }
        let _ = write!(line, "]}}, {}: {{", ascii(&format!("{}-metadata", self.job)));
        self.push_class_map(line, sample, classes);
        line.push_str(", \"objects\": [");
        for (index, object) in sample.objects.iter().enumerate() {
            line.push_str(comma(index));
            match object.confidence {
                Some(confidence) => drop(write!(line, "{{\"confidence\": {}}}", Number(confidence))),
                None => line.push_str("{}"),
            }
        }
        line.push_str("], \"type\": \"groundtruth/object-detection\"");
    }

    fn push_labels(&self, line: &mut String, sample: &Sample, classes: &Classes) {
        let metadata = ascii(&format!("{}-metadata", self.job));
        if let [label] = &sample.labels[..] {
            let _ = write!(line, "{}, {metadata}: {{", self.number(label.class));
            if let Some(name) = classes.get(label.class).and_then(|class| class.name.as_deref()) {
                let _ = write!(line, "\"class-name\": {}, ", ascii(name));
            }
            if let Some(confidence) = label.confidence {
                let _ = write!(line, "\"confidence\": {}, ", Number(confidence));
            }
            line.push_str("\"type\": \"groundtruth/image-classification\"");
            return;
        }
        let numbers: Vec<String> = sample.labels.iter().map(|label| self.number(label.class).to_string()).collect();
        let _ = write!(line, "[{}], {metadata}: {{", numbers.join(", "));
        self.push_class_map(line, sample, classes);
        line.push_str(", \"confidence-map\": {");
        let sure = sample.labels.iter().filter_map(|label| Some((label.class, label.confidence?)));
        for (index, (class, confidence)) in sure.enumerate() {
            let _ = write!(line, "{}\"{}\": {}", comma(index), self.number(class), Number(confidence));
        }
        line.push_str("}, \"type\": \"groundtruth/image-classification-multilabel\"");
    }

    fn push_class_map(&self, line: &mut String, sample: &Sample, classes: &Classes) {
        line.push_str("\"class-map\": {");
        let named = sample.classes().into_iter().filter_map(|id| Some((id, classes.get(id)?.name.as_deref()?)));
        for (index, (class, name)) in named.enumerate() {
            let _ = write!(line, "{}\"{}\": {}", comma(index), self.number(class), ascii(name));
        }
        line.push('}');
    }
}

fn comma(index: usize) -> &'static str {
    if index == 0 { "" } else { ", " }
}

impl<W: Write> Sink for GroundTruthWriter<W> {
    fn needs_size(&self) -> bool {
        true
    }

    fn write(&mut self, sample: &Sample, classes: &Classes, findings: &mut Findings) -> Result<(), DatasetError> {
        let line = match sample.line.as_deref().map(|line| (Line::parse(line.as_bytes()), line)) {
            Some((Ok(line), _)) => match line.jobs().last().map(str::to_owned) {
                Some(job) => line.renamed(&job, &self.job),
                None => self.line(sample, classes),
            },
            _ => {
                if self.numbers.len() < classes.len() {
                    self.numbers = classes.numbers();
                }
                HOLDS.note(sample, classes, findings);
                if !sample.objects.is_empty() {
                    findings.loss("classes of a whole picture beside boxes: left out", sample.labels.len());
                }
                self.line(sample, classes)
            }
        };
        writeln!(self.writer, "{line}").map_err(DatasetError::io(&self.file, "written"))
    }

    fn finish(&mut self, _: &Classes, _: &mut Findings) -> Result<Vec<PathBuf>, DatasetError> {
        self.writer.flush().map_err(DatasetError::io(&self.file, "written"))?;
        Ok(vec![self.file.clone()])
    }
}
