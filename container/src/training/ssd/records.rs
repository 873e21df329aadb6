use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use dataset::formats::tfrecord::TfRecord;
use dataset::{Options, Reading, Source};
use picture::RgbImage;
use vision::ssd::Config;
use vision::ssd::training::{Examples, Truth};
use vision::train::Spoiled;

/// The faults that are told one by one.
const TOLD: usize = 5;

/// The pictures of TFRecord files, in memory as they are stored, and their objects.
#[derive(Debug)]
pub(super) struct Records {
    examples: Vec<Stored>,
}

#[derive(Debug)]
struct Stored {
    name: String,
    /// The file of the picture.
    encoded: Vec<u8>,
    truths: Vec<Truth>,
}

impl Records {
    /// Reads the files that a configuration names, in the folder of the data whatever folder it names; else `NAME.record` or its
    /// shards. `None`: there is no such file.
    pub(super) fn read(
        folder: &Path,
        named: &[String],
        name: &str,
        label_map: &Path,
        config: &Config,
        tell: &mut dyn FnMut(String),
    ) -> anyhow::Result<Option<Self>> {
        let own = |path: &String| Path::new(path).file_name().map(|name| folder.join(name));
        let mut files: Vec<PathBuf> = named.iter().filter_map(own).filter(|file| is_there(file)).collect();
        if files.is_empty() {
            files.extend(Some(folder.join(format!("{name}.record"))).filter(|file| is_there(file)));
        }
        if files.is_empty() {
            return Ok(None);
        }
        let options = Options { label_map: Some(label_map.to_owned()), ..Options::default() };
        let mut reading = Reading::default();
        let mut records = Self { examples: Vec::new() };
        for file in &files {
            let in_file = || format!("{} cannot be read", file.display());
            let mut source = TfRecord::open(file, &options, &mut reading).with_context(in_file)?;
            while let Some(sample) = source.next(&mut reading).with_context(in_file)? {
                records.push(sample, &reading, config, tell);
            }
        }
        for fault in reading.findings.faults().iter().take(TOLD) {
            tell(format!("left out: {fault}"));
        }
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        ensure!(!records.examples.is_empty(), "{} has no picture that can be used", names.join(", "));
        Ok(Some(records))
    }

    fn push(&mut self, sample: dataset::Sample, reading: &Reading, config: &Config, tell: &mut dyn FnMut(String)) {
        let (Some(encoded), Some(size)) = (sample.encoded, sample.size) else {
            tell(format!("left out: {}: the record has no picture or no size", sample.name));
            return;
        };
        let mut truths = Vec::new();
        for object in &sample.objects {
            // Crowds are no single objects.
            if object.flags.is_crowd {
                continue;
            }
            let number = reading.classes.get(object.class).and_then(|class| class.number);
            let class = number.and_then(|number| usize::try_from(number).ok()).filter(|class| *class < config.classes);
            let Some(class) = class else {
                let shown = reading.classes.shown(object.class);
                tell(format!("left out: an object of {}: the class {shown} is not known", sample.name));
                continue;
            };
            let [left, top, right, bottom] = object.bounds.corners();
            let (width, height) = (f64::from(size.width), f64::from(size.height));
            let corners = [top / height, left / width, bottom / height, right / width];
            let corners = corners.map(|place| place.clamp(0.0, 1.0) as f32);
            if corners[2] > corners[0] && corners[3] > corners[1] {
                truths.push(Truth { corners, class, weight: object.weight.unwrap_or(1.0) as f32 });
            }
        }
        self.examples.push(Stored { name: sample.name, encoded, truths });
    }

    pub(super) fn len(&self) -> usize {
        self.examples.len()
    }

    pub(super) fn name(&self, index: usize) -> &str {
        &self.examples[index].name
    }
}

/// Whether a file, or a shard of this name, is there.
fn is_there(file: &Path) -> bool {
    let mut reading = Reading::default();
    TfRecord::open(file, &Options::default(), &mut reading).is_ok()
}

impl Examples for Records {
    fn count(&self) -> usize {
        self.examples.len()
    }

    fn example(&self, index: usize) -> Result<(RgbImage, Vec<Truth>), Spoiled> {
        let Stored { name, encoded, truths } = &self.examples[index];
        let picture = picture::decode(encoded);
        let picture = picture.map_err(|error| Spoiled { example: name.clone(), reason: error.to_string() })?;
        Ok((picture, truths.clone()))
    }
}
