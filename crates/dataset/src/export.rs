//! Samples on their way into another format: filtered, with sizes, bytes and places as the format needs them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::formats::{FileNames, size_in};
use crate::{Classes, DatasetError, Format, Pictures, Reading, Sample, Sink, Target};

/// What is left out on purpose.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The names of classes to keep; none: all.
    pub classes: Vec<String>,
    /// Leave out boxes of a crowd or group.
    pub drops_crowds: bool,
    /// Leave out drawings, statues and insides.
    pub drops_depictions: bool,
    /// Leave out pictures without annotations.
    pub drops_empty: bool,
}

/// Where an exporter puts what.
#[derive(Debug, Clone, Default)]
pub struct Placement {
    /// A folder that every picture is copied into.
    pub copies: Option<PathBuf>,
    /// The beginning of the place of every picture, such as `s3://bucket/pictures`.
    pub uri: Option<String>,
}

/// Writes samples of any origin to one sink.
pub struct Exporter<'a> {
    sink: Box<dyn Sink>,
    format: Format,
    out: PathBuf,
    filter: &'a Filter,
    placement: Placement,
    pictures: &'a dyn Pictures,
    names: FileNames,
    /// Hashes of names, to find those that several pictures have.
    seen: HashSet<u64>,
    written: u64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The files and folders that now exist.
    pub files: Vec<PathBuf>,
    /// The number of pictures.
    pub pictures: u64,
}

impl<'a> Exporter<'a> {
    /// Creates the output.
    ///
    /// # Errors
    /// Those of [`Format::create`], and a folder for copies that cannot be made.
    pub fn create(
        out: &Path,
        format: Format,
        target: &Target,
        filter: &'a Filter,
        placement: Placement,
        pictures: &'a dyn Pictures,
    ) -> Result<Self, DatasetError> {
        if let Some(copies) = &placement.copies {
            std::fs::create_dir_all(copies).map_err(DatasetError::io(copies, "made"))?;
        }
        Ok(Self {
            sink: format.create(out, target)?,
            format,
            out: out.to_owned(),
            filter,
            placement,
            pictures,
            names: FileNames::default(),
            seen: HashSet::new(),
            written: 0,
        })
    }

    /// Writes a sample, unless it is filtered out. A picture that is needed and cannot be read becomes a fault.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&mut self, mut sample: Sample, reading: &mut Reading) -> Result<(), DatasetError> {
        if !self.keeps(&mut sample, reading) {
            return Ok(());
        }
        if let Err(error) = self.complete(&mut sample, reading) {
            match error {
                DatasetError::Picture { place, reason } => reading.findings.fault(Path::new(&place), None, reason),
                error => return Err(error),
            }
            return Ok(());
        }
        self.written += 1;
        self.sink.write(&sample, &reading.classes, &mut reading.findings)
    }

    /// Writes what comes last.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(mut self, reading: &mut Reading) -> Result<Exported, DatasetError> {
        let has_numbers =
            matches!(self.format, Format::GroundTruth | Format::Coco | Format::CocoResults | Format::TfRecord);
        if has_numbers {
            let what = "classes: written with another number than in their data set";
            reading.findings.loss(what, reading.classes.renumbered());
        }
        let mut files = self.sink.finish(&reading.classes, &mut reading.findings)?;
        files.extend(self.placement.copies);
        Ok(Exported { files, pictures: self.written })
    }

    /// Filters a sample, and says what is left out.
    fn keeps(&self, sample: &mut Sample, reading: &mut Reading) -> bool {
        let before = sample.objects.len() + sample.labels.len();
        let is_kept = self.filter.keeps(sample, &reading.classes);
        let dropped = before - sample.objects.len() - sample.labels.len();
        reading.findings.loss("annotations that the filter leaves out", dropped);
        if dropped > 0 {
            sample.line = None;
        }
        match (is_kept, sample.is_annotated) {
            (true, _) => {}
            (false, true) => reading.findings.loss("pictures without annotations: left out, as asked", 1),
            (false, false) => reading.findings.loss("pictures that were not annotated: left out", 1),
        }
        is_kept
    }

    /// Gives a sample its bytes, size and place.
    fn complete(&mut self, sample: &mut Sample, reading: &mut Reading) -> Result<(), DatasetError> {
        let needs_size = self.sink.needs_size() && sample.size.is_none();
        let needs_bytes = self.sink.needs_bytes() || self.placement.copies.is_some();
        if sample.encoded.is_none() && (needs_size || needs_bytes) {
            sample.encoded = Some(self.pictures.bytes(&sample.place)?);
        }
        if needs_size && let Some(bytes) = &sample.encoded {
            let size = size_in(bytes)
                .map_err(|error| DatasetError::Picture { place: sample.place.clone(), reason: error.to_string() })?;
            sample.size = Some(size);
        }
        if let Some(copies) = &self.placement.copies {
            let bytes = sample.encoded.as_deref().unwrap_or_default();
            let mut name = sample.name.clone();
            if !name.contains('.') {
                // TFRecord may hold a picture without a name.
                name.push_str(extension(bytes));
            }
            let name = self.names.of(&name);
            let file = copies.join(&name);
            std::fs::write(&file, bytes).map_err(DatasetError::io(&file, "written"))?;
            sample.place = file.to_string_lossy().into_owned();
            if name != crate::annotations::base_name(&sample.name) {
                reading.findings.loss("pictures with the name of another one, or none: renamed", 1);
            }
            sample.name = name;
            // The line still names the old place.
            sample.line = None;
        } else if sample.encoded.is_some() && sample.size.is_some() && !self.sink.needs_bytes() && !needs_size {
            reading.findings.loss("pictures that the records hold: not written, --pictures DIR writes them", 1);
        }
        if let Some(uri) = &self.placement.uri {
            sample.place = format!("{}/{}", uri.trim_end_matches('/'), sample.name);
            sample.line = None;
        } else if self.format == Format::GroundTruth {
            sample.place = beside(&self.out, &sample.place);
        }
        let mut hasher = DefaultHasher::new();
        sample.name.hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) && matches!(self.format, Format::Coco | Format::OpenImages) {
            reading.findings.loss("pictures with the name of another picture: the names stay", 1);
        }
        Ok(())
    }
}

impl Filter {
    /// Takes out what is not wanted. False: the whole picture is not, because it was not annotated or nothing is left.
    pub fn keeps(&self, sample: &mut Sample, classes: &Classes) -> bool {
        if !sample.is_annotated {
            return false;
        }
        if !self.classes.is_empty() {
            let is_wanted = |class| self.classes.iter().any(|name| *name == classes.shown(class));
            sample.objects.retain(|object| is_wanted(object.class));
            sample.labels.retain(|label| is_wanted(label.class));
        }
        sample.objects.retain(|object| {
            !(self.drops_crowds && object.flags.is_crowd)
                && !(self.drops_depictions && (object.flags.is_depiction || object.flags.is_inside))
        });
        !(self.drops_empty && sample.objects.is_empty() && sample.labels.is_empty())
    }
}

/// A local place as a manifest in `out` names it: relative to its folder where it lies below, else absolute.
fn beside(out: &Path, place: &str) -> String {
    if place.starts_with("s3://") {
        return place.to_owned();
    }
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (place, out) = (absolute(Path::new(place)), absolute(out));
    let folder = out.parent().unwrap_or(Path::new(""));
    place.strip_prefix(folder).unwrap_or(&place).to_string_lossy().into_owned()
}

/// The extension of a picture's format.
fn extension(bytes: &[u8]) -> &'static str {
    match image::guess_format(bytes) {
        Ok(image::ImageFormat::Png) => ".png",
        Ok(image::ImageFormat::WebP) => ".webp",
        _ => ".jpg",
    }
}
