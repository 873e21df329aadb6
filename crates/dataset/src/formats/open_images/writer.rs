//! Writes the CSV files.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::annotations::Sample;
use crate::formats::losses::Holds;
use crate::formats::number::Number;
use crate::{Classes, DatasetError, Findings, Sink};

const HOLDS: Holds = Holds {
    objects: true,
    labels: true,
    confidences: true,
    crowds: true,
    truncated: true,
    occluded: true,
    depictions: true,
    difficult: false,
    areas: false,
    weights: false,
    jobs: false,
    classes_without_name: false,
};

/// Writes boxes as a CSV file of Open Images. Classes of whole pictures go to a second file, whose name ends in `-labels.csv`. Names stand
/// for labels such as `/m/01g317`.
pub struct OpenImagesWriter {
    file: PathBuf,
    boxes: csv::Writer<File>,
    labels: Option<(PathBuf, csv::Writer<File>)>,
}

impl OpenImagesWriter {
    /// Creates the file.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn create(file: &Path) -> Result<Self, DatasetError> {
        let mut boxes = csv::Writer::from_writer(File::create(file).map_err(DatasetError::io(file, "written"))?);
        let header = boxes.write_record([
            "ImageID",
            "Source",
            "LabelName",
            "Confidence",
            "XMin",
            "XMax",
            "YMin",
            "YMax",
            "IsOccluded",
            "IsTruncated",
            "IsGroupOf",
            "IsDepiction",
            "IsInside",
        ]);
        header.map_err(written(file))?;
        Ok(Self { file: file.to_owned(), boxes, labels: None })
    }

    fn write_labels(&mut self, sample: &Sample, classes: &Classes) -> Result<(), DatasetError> {
        let (path, writer) = match &mut self.labels {
            Some(open) => open,
            none => {
                let path = self.file.with_file_name(format!(
                    "{}-labels.csv",
                    self.file.file_stem().unwrap_or_default().to_string_lossy()
                ));
                let file = File::create(&path).map_err(DatasetError::io(&path, "written"))?;
                let mut writer = csv::Writer::from_writer(file);
                let header = writer.write_record(["ImageID", "Source", "LabelName", "Confidence"]);
                header.map_err(written(&path))?;
                none.insert((path, writer))
            }
        };
        for label in &sample.labels {
            let confidence = Number(label.confidence.unwrap_or(1.0)).to_string();
            let row = [id(sample), "verification", &classes.shown(label.class), &confidence];
            writer.write_record(row).map_err(written(path))?;
        }
        Ok(())
    }
}

/// A picture's id: its name without `.jpg`. Another extension stays, since a reader adds `.jpg`.
fn id(sample: &Sample) -> &str {
    match sample.name.strip_suffix(".jpg") {
        Some(stem) if !stem.contains('.') => stem,
        _ => &sample.name,
    }
}

fn written(path: &Path) -> impl FnOnce(csv::Error) -> DatasetError {
    let path = path.to_owned();
    move |error| DatasetError::Io { path, action: "written", source: error.into() }
}

impl Sink for OpenImagesWriter {
    fn needs_size(&self) -> bool {
        true
    }

    fn write(&mut self, sample: &Sample, classes: &Classes, findings: &mut Findings) -> Result<(), DatasetError> {
        HOLDS.note(sample, classes, findings);
        if !sample.labels.is_empty() {
            self.write_labels(sample, classes)?;
        }
        if sample.objects.is_empty() && sample.labels.is_empty() {
            findings.loss("pictures without annotations: the format has no line for them", 1);
        }
        let missing =
            || DatasetError::Picture { place: sample.place.clone(), reason: "its size is not known".to_owned() };
        for object in &sample.objects {
            let size = sample.size.ok_or_else(missing)?;
            let [left, top, right, bottom] = object.bounds.corners();
            let share = |edge: f64, side: u32| Number(edge / f64::from(side)).to_string();
            let flag = |is_set: bool| if is_set { "1" } else { "0" };
            let flags = object.flags;
            let row = [
                id(sample),
                "xclick",
                &classes.shown(object.class),
                &Number(object.confidence.unwrap_or(1.0)).to_string(),
                &share(left, size.width),
                &share(right, size.width),
                &share(top, size.height),
                &share(bottom, size.height),
                flag(flags.is_occluded),
                flag(flags.is_truncated),
                flag(flags.is_crowd),
                flag(flags.is_depiction),
                flag(flags.is_inside),
            ];
            self.boxes.write_record(row).map_err(written(&self.file))?;
        }
        Ok(())
    }

    fn finish(&mut self, _: &Classes, _: &mut Findings) -> Result<Vec<PathBuf>, DatasetError> {
        self.boxes.flush().map_err(DatasetError::io(&self.file, "written"))?;
        let mut files = vec![self.file.clone()];
        if let Some((path, writer)) = &mut self.labels {
            writer.flush().map_err(DatasetError::io(&*path, "written"))?;
            files.push(path.clone());
        }
        Ok(files)
    }
}
