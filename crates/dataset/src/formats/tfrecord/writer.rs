//! Writes pictures with annotations as examples.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::{GzEncoder, ZlibEncoder};
use sha2::{Digest, Sha256};

use super::example::{Example, Feature};
use super::framing::write_record;
use super::shards;
use crate::annotations::{Object, Sample};
use crate::formats::losses::Holds;
use crate::{Classes, DatasetError, Findings, Sink};

const HOLDS: Holds = Holds {
    objects: true,
    labels: true,
    crowds: true,
    difficult: true,
    truncated: true,
    occluded: true,
    areas: true,
    weights: true,
    confidences: false,
    depictions: false,
    jobs: false,
    classes_without_name: false,
};

/// Tells whether an object has a mark.
type Mark = fn(&Object) -> bool;

/// Features that are written only where an object has the mark.
const MARKS: [(&str, Mark); 4] = [
    ("image/object/is_crowd", |object| object.flags.is_crowd),
    ("image/object/difficult", |object| object.flags.is_difficult),
    ("image/object/truncated", |object| object.flags.is_truncated),
    ("image/object/occluded", |object| object.flags.is_occluded),
];

/// How a whole file is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: pictures are compressed already.
    #[default]
    None,
    /// TensorFlow's `GZIP`.
    Gzip,
    /// TensorFlow's `ZLIB`.
    Zlib,
}

/// A file under its compression.
enum Compressed {
    None(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zlib(ZlibEncoder<BufWriter<File>>),
}

impl Compressed {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::None(writer) => writer,
            Self::Gzip(writer) => writer,
            Self::Zlib(writer) => writer,
        }
    }

    fn finish(self) -> io::Result<()> {
        let mut writer = match self {
            Self::None(writer) => writer,
            Self::Gzip(writer) => writer.finish()?,
            Self::Zlib(writer) => writer.finish()?,
        };
        writer.flush()
    }
}

/// Writes TFRecord files. Pictures go to the shards in turn.
pub struct TfRecordWriter {
    shards: Vec<(PathBuf, Compressed)>,
    pictures: usize,
    numbers: Vec<i64>,
}

impl TfRecordWriter {
    /// Creates the file, or `shards` files whose names begin with it. `shards` is at least 1.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn create(base: &Path, shards: u32, compression: Compression) -> Result<Self, DatasetError> {
        let shards = shards.max(1);
        let mut files = Vec::new();
        for shard in 0..shards {
            let path = shards::name(base, shard, shards);
            let file = BufWriter::new(File::create(&path).map_err(DatasetError::io(&path, "written"))?);
            let level = flate2::Compression::default();
            let file = match compression {
                Compression::None => Compressed::None(file),
                Compression::Gzip => Compressed::Gzip(GzEncoder::new(file, level)),
                Compression::Zlib => Compressed::Zlib(ZlibEncoder::new(file, level)),
            };
            files.push((path, file));
        }
        Ok(Self { shards: files, pictures: 0, numbers: Vec::new() })
    }

    fn encode(&self, sample: &Sample, classes: &Classes) -> Result<Vec<u8>, DatasetError> {
        let missing = |what: &str| DatasetError::Picture { place: sample.place.clone(), reason: what.to_owned() };
        let encoded = sample.encoded.as_deref().ok_or_else(|| missing("its bytes are not there"))?;
        let size = sample.size.ok_or_else(|| missing("its size is not known"))?;
        let format: &[u8] = match image::guess_format(encoded) {
            Ok(image::ImageFormat::Jpeg) => b"jpeg",
            Ok(image::ImageFormat::Png) => b"png",
            Ok(image::ImageFormat::WebP) => b"webp",
            _ => b"",
        };
        let hash: String = Sha256::digest(encoded).iter().map(|byte| format!("{byte:02x}")).collect();
        let id = sample.id.map_or_else(|| sample.name.clone(), |id| id.to_string());
        let label = |class: crate::ClassId| self.numbers.get(class.0 as usize).copied().unwrap_or(0) + 1;
        let names: Vec<_> = sample.objects.iter().map(|object| classes.shown(object.class)).collect();
        let whole: Vec<_> = sample.labels.iter().map(|label| classes.shown(label.class)).collect();
        let objects = &sample.objects;
        let share = |edge: usize, side: u32| {
            let edges = objects.iter().map(|object| (object.bounds.corners()[edge] / f64::from(side)) as f32);
            Feature::Floats(edges.collect())
        };
        let marks = |is_set: Mark| Feature::Ints(objects.iter().map(|object| i64::from(is_set(object))).collect());
        let mut example = Example::default();
        example.insert("image/encoded", Feature::Bytes(vec![encoded]));
        example.insert("image/format", Feature::Bytes(vec![format]));
        example.insert("image/filename", Feature::Bytes(vec![sample.name.as_bytes()]));
        example.insert("image/source_id", Feature::Bytes(vec![id.as_bytes()]));
        example.insert("image/key/sha256", Feature::Bytes(vec![hash.as_bytes()]));
        example.insert("image/height", Feature::Ints(vec![i64::from(size.height)]));
        example.insert("image/width", Feature::Ints(vec![i64::from(size.width)]));
        if !sample.labels.is_empty() {
            let labels = sample.labels.iter().map(|found| label(found.class)).collect();
            example.insert("image/class/label", Feature::Ints(labels));
            example.insert("image/class/text", Feature::Bytes(whole.iter().map(|name| name.as_bytes()).collect()));
        }
        if !objects.is_empty() || sample.labels.is_empty() {
            example.insert("image/object/bbox/xmin", share(0, size.width));
            example.insert("image/object/bbox/ymin", share(1, size.height));
            example.insert("image/object/bbox/xmax", share(2, size.width));
            example.insert("image/object/bbox/ymax", share(3, size.height));
            let labels = objects.iter().map(|object| label(object.class)).collect();
            example.insert("image/object/class/label", Feature::Ints(labels));
            let texts = names.iter().map(|name| name.as_bytes()).collect();
            example.insert("image/object/class/text", Feature::Bytes(texts));
        }
        for (name, is_set) in MARKS {
            if objects.iter().any(is_set) {
                example.insert(name, marks(is_set));
            }
        }
        if objects.iter().any(|object| object.area.is_some()) {
            let areas = objects.iter().map(|object| object.area.unwrap_or(object.bounds.area()) as f32);
            example.insert("image/object/area", Feature::Floats(areas.collect()));
        }
        if objects.iter().any(|object| object.weight.is_some()) {
            let weights = objects.iter().map(|object| object.weight.unwrap_or(1.0) as f32);
            example.insert("image/object/weight", Feature::Floats(weights.collect()));
        }
        Ok(example.encode())
    }
}

impl Sink for TfRecordWriter {
    fn needs_size(&self) -> bool {
        true
    }

    fn needs_bytes(&self) -> bool {
        true
    }

    fn write(&mut self, sample: &Sample, classes: &Classes, findings: &mut Findings) -> Result<(), DatasetError> {
        HOLDS.note(sample, classes, findings);
        if self.numbers.len() < classes.len() {
            self.numbers = classes.numbers();
        }
        let record = self.encode(sample, classes)?;
        let shard = self.pictures % self.shards.len();
        self.pictures += 1;
        let (path, file) = &mut self.shards[shard];
        write_record(&mut file.writer(), &record).map_err(DatasetError::io(&*path, "written"))
    }

    fn finish(&mut self, _: &Classes, _: &mut Findings) -> Result<Vec<PathBuf>, DatasetError> {
        let mut paths = Vec::new();
        for (path, file) in self.shards.drain(..) {
            file.finish().map_err(DatasetError::io(&path, "written"))?;
            paths.push(path);
        }
        Ok(paths)
    }
}
