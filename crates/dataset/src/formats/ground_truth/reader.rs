//! Reads a manifest.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::line::{self, Boxes, Line, LineError, Metadata, Text};
use crate::annotations::{Label, Object, Provenance, Rectangle, Size};
use crate::formats::lines::{self, Lines, MAX_LINE};
use crate::formats::source::folder_of;
use crate::{Classes, DatasetError, Options, Reading, Sample, Source};

/// The ends of `type` in the metadata of jobs that are read.
const KINDS: [&str; 3] = ["/object-detection", "/image-classification", "/image-classification-multilabel"];

/// Reads an output manifest of Ground Truth.
///
/// Jobs that draw boxes and those that choose one or several classes are read. A picture that the job did not label is a sample
/// that is not annotated.
pub struct GroundTruth<R> {
    file: PathBuf,
    lines: Lines<R>,
    options: Options,
    jobs: Vec<String>,
    /// The class map that was read last. Most lines of a job repeat it.
    class_map: String,
}

impl GroundTruth<BufReader<File>> {
    /// Opens a manifest.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn open(file: &Path, options: &Options) -> Result<Self, DatasetError> {
        let opened = File::open(file).map_err(DatasetError::io(file, "opened"))?;
        Ok(Self::new(file, BufReader::with_capacity(1 << 17, opened), options))
    }
}

impl<R: BufRead> GroundTruth<R> {
    /// Reads a manifest of this name from anywhere.
    pub fn new(file: &Path, reader: R, options: &Options) -> Self {
        let mut jobs = options.jobs.clone();
        if jobs.is_empty() {
            jobs.extend(job_of(file));
        }
        Self {
            file: file.to_owned(),
            lines: Lines::new(reader),
            options: options.clone(),
            jobs,
            class_map: String::new(),
        }
    }
}

/// The job of a file's name: `NAME-output.manifest`.
#[must_use]
pub fn job_of(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    name.strip_suffix("-output.manifest").filter(|job| !job.is_empty()).map(str::to_owned)
}

impl<R: BufRead> Source for GroundTruth<R> {
    fn next(&mut self, reading: &mut Reading) -> Result<Option<Sample>, DatasetError> {
        loop {
            let next = self.lines.next().map_err(DatasetError::io(&self.file, "read"))?;
            let Some((number, text)) = next else { return Ok(None) };
            let at = Some(("line", number));
            let lines::Line::Text(text) = text else {
                reading.findings.fault(&self.file, at, format!("it has more than {MAX_LINE} bytes"));
                continue;
            };
            if text.trim_ascii().is_empty() {
                continue;
            }
            let context = Context { file: &self.file, jobs: &self.jobs, options: &self.options };
            match context.sample(text, &mut self.class_map, &mut reading.classes) {
                Ok(sample) => return Ok(Some(sample)),
                Err(error) => reading.findings.fault(&self.file, at, error.to_string()),
            }
        }
    }
}

/// What a line is read with.
struct Context<'a> {
    file: &'a Path,
    jobs: &'a [String],
    options: &'a Options,
}

impl Context<'_> {
    fn sample(&self, text: &[u8], class_map: &mut String, classes: &mut Classes) -> Result<Sample, LineError> {
        let line = Line::parse(text)?;
        let Text(place) = line.read("source-ref")?;
        let mut sample = Sample::at(self.options.place(folder_of(self.file), &place));
        let jobs = self.jobs_of(&line)?;
        for job in &jobs {
            sample.is_annotated = true;
            read_job(&line, job, &mut sample, class_map, classes)?;
        }
        // Annotations of several jobs become those of one, so a line of one job would lack some.
        if let ([job], true) = (&jobs[..], self.options.keeps_lines) {
            sample.line = Some(line.renamed(job, job));
        }
        Ok(sample)
    }

    /// The jobs to read of a line.
    fn jobs_of(&self, line: &Line<'_>) -> Result<Vec<String>, LineError> {
        if !self.jobs.is_empty() {
            return Ok(self.jobs.iter().filter(|job| line.get(job).is_some()).cloned().collect());
        }
        let jobs: Vec<String> = line.jobs().map(str::to_owned).collect();
        let is_read = |job: &String| {
            let metadata: Result<Metadata<'_>, _> = line.read(&format!("{job}-metadata"));
            metadata.is_ok_and(|found| found.kind.is_none_or(|kind| KINDS.iter().any(|end| kind.ends_with(end))))
        };
        match jobs.len() {
            0 | 1 => Ok(jobs),
            _ => match &jobs.iter().filter(|job| is_read(job)).collect::<Vec<_>>()[..] {
                [] => Ok(Vec::new()),
                [job] => Ok(vec![(*job).clone()]),
                _ => Err(LineError::Ambiguous(jobs)),
            },
        }
    }
}

/// Adds what a job says of a picture.
fn read_job(
    line: &Line<'_>,
    job: &str,
    sample: &mut Sample,
    class_map: &mut String,
    classes: &mut Classes,
) -> Result<(), LineError> {
    let key = format!("{job}-metadata");
    let metadata: Metadata<'_> = line.read(&key)?;
    let value = line.get(job).ok_or_else(|| LineError::Missing(job.to_owned()))?;
    // Everything is read before a class is added, so that a faulty line adds none.
    let names = match metadata.class_map {
        Some(raw) if raw.get() != class_map => Some((raw, entries::<Text<'_>>("class-map", raw)?)),
        _ => None,
    };
    match value.get().as_bytes().first() {
        Some(b'{') => {
            let boxes: Boxes = line::read(job, value)?;
            if let Some(size) = boxes.image_size.first() {
                if size.width == 0 || size.height == 0 {
                    let reason = format!("a picture of {} x {} pixels", size.width, size.height);
                    return Err(LineError::Value { key: job.to_owned(), reason });
                }
                sample.size = Some(Size { width: size.width, height: size.height, depth: size.depth });
            }
            learn(names, class_map, classes);
            for (index, found) in boxes.annotations.iter().enumerate() {
                let bounds = Rectangle { left: found.left, top: found.top, width: found.width, height: found.height };
                let confidence = metadata.objects.get(index).and_then(|object| object.confidence);
                sample.objects.push(Object { confidence, ..Object::new(classes.of_number(found.class_id), bounds) });
            }
        }
        Some(b'[') => {
            let numbers: Vec<i64> = line::read(job, value)?;
            let sureness = match metadata.confidence_map {
                Some(raw) => entries::<f64>("confidence-map", raw)?,
                None => Vec::new(),
            };
            learn(names, class_map, classes);
            for number in numbers {
                let confidence = sureness.iter().find(|(known, _)| *known == number).map(|(_, confidence)| *confidence);
                sample.labels.push(Label { class: classes.of_number(number), confidence });
            }
        }
        _ => {
            let number: i64 = line::read(job, value)?;
            learn(names, class_map, classes);
            let class = match &metadata.class_name {
                Some(name) => classes.name(number, name),
                None => classes.of_number(number),
            };
            sample.labels.push(Label { class, confidence: metadata.confidence });
        }
    }
    sample.provenance = Provenance {
        job: metadata.job_name,
        is_human: metadata.human_annotated.map(|answer| answer == "yes"),
        created: metadata.creation_date,
    };
    Ok(())
}

/// Takes over the names of a class map.
fn learn(names: Option<(&RawValue, Vec<(i64, Text<'_>)>)>, class_map: &mut String, classes: &mut Classes) {
    if let Some((raw, names)) = names {
        for (number, Text(name)) in names {
            classes.name(number, &name);
        }
        class_map.clear();
        class_map.push_str(raw.get());
    }
}

/// An object whose keys are numbers of classes, in its order.
fn entries<'a, T: serde::Deserialize<'a>>(key: &str, raw: &'a RawValue) -> Result<Vec<(i64, T)>, LineError> {
    let line: Line<'a> = line::read(key, raw)?;
    let number = |name: &str| {
        let reason = format!("{name:?} is no number of a class");
        name.parse().map_err(|_| LineError::Value { key: key.to_owned(), reason })
    };
    line.into_entries().map(|(name, value)| Ok((number(&name)?, line::read(key, value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, jobs: &[&str]) -> (Option<Sample>, Reading) {
        let mut reading = Reading::default();
        let jobs = jobs.iter().map(|job| (*job).to_owned()).collect();
        let options = Options { jobs, keeps_lines: true, ..Options::default() };
        let sample = GroundTruth::new(Path::new("m.manifest"), text.as_bytes(), &options).next(&mut reading).unwrap();
        (sample, reading)
    }

    #[test]
    fn several_jobs_of_a_line_are_read_together_or_refused() {
        let boxes =
            r#"{"annotations": [{"class_id": 0, "left": 1, "top": 2, "width": 3, "height": 4}], "image_size": []}"#;
        let text = format!(
            r#"{{"source-ref": "s3://b/k", "a": {boxes}, "a-metadata": {{"class-map": {{"0": "cat"}}}}, "b": 4, "b-metadata": {{"class-name": "dog"}}}}"#
        );
        let (sample, reading) = read(&text, &["a", "b"]);
        let sample = sample.unwrap();
        assert_eq!((sample.objects.len(), sample.labels.len(), sample.line), (1, 1, None));
        assert_eq!(reading.classes.shown(sample.labels[0].class), "dog");
        let (sample, _) = read(&text, &["b"]);
        assert!(sample.unwrap().line.unwrap().ends_with(r#""b": 4, "b-metadata": {"class-name": "dog"}}"#));
        let (sample, reading) = read(&text, &[]);
        assert!(sample.is_none());
        assert!(reading.findings.faults()[0].reason.contains("the jobs a, b labelled this picture: choose one"));
        assert!(!read(&text, &["c"]).0.unwrap().is_annotated);
    }
}
