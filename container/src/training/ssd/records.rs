use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use dataset::formats::tfrecord::TfRecord;
use dataset::{Options, Reading, Source};
use picture::{PictureError, RgbImage};
use vision::ssd::Config;
use vision::ssd::training::{Examples, Truth};
use vision::train::Spoiled;

/// The faults that are named one by one.
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
    /// The width and height that the record has for the picture, in pixels.
    size: (u32, u32),
    /// The objects to train with.
    truths: Vec<Truth>,
    /// Boxes that hold many objects. An evaluation ignores detections in them.
    crowds: Vec<Truth>,
}

impl Records {
    /// Reads the files that a configuration names, in the folder of the data whatever folder it names. Where none of them is there,
    /// it reads `NAME.record` or its shards. `None`: that is not there either.
    ///
    /// # Errors
    /// A file cannot be read, a shard is missing, or a named file is missing beside others.
    pub(super) fn read(
        folder: &Path,
        named: &[String],
        name: &str,
        label_map: &Path,
        config: &Config,
        tell: &mut dyn FnMut(String),
    ) -> anyhow::Result<Option<Self>> {
        let own = |path: &String| Path::new(path).file_name().map(|name| folder.join(name));
        let mut files: Vec<PathBuf> = named.iter().filter_map(own).collect();
        if !files.iter().any(|file| is_there(file)) {
            files = vec![folder.join(format!("{name}.record"))];
        }
        if !files.iter().any(|file| is_there(file)) {
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
        ensure!(
            !records.examples.is_empty(),
            "{} has no picture that can be used: records with image/encoded, image/width and image/height would work",
            names.join(", ")
        );
        Ok(Some(records))
    }

    fn push(&mut self, sample: dataset::Sample, reading: &Reading, config: &Config, tell: &mut dyn FnMut(String)) {
        let (Some(encoded), Some(size)) = (sample.encoded, sample.size) else {
            tell(format!("left out: {}: the record has no picture or no size", sample.name));
            return;
        };
        let (mut truths, mut crowds) = (Vec::new(), Vec::new());
        for object in &sample.objects {
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
                // A crowd is no single object to train with.
                let of_kind = if object.flags.is_crowd { &mut crowds } else { &mut truths };
                of_kind.push(Truth { corners, class, weight: object.weight.unwrap_or(1.0) as f32 });
            }
        }
        let size = (size.width, size.height);
        self.examples.push(Stored { name: sample.name, encoded, size, truths, crowds });
    }

    pub(super) fn len(&self) -> usize {
        self.examples.len()
    }

    pub(super) fn name(&self, index: usize) -> &str {
        &self.examples[index].name
    }

    /// The crowds of a picture.
    pub(super) fn crowds(&self, index: usize) -> &[Truth] {
        &self.examples[index].crowds
    }
}

/// Whether a file of this name is there, or at least one of its shards.
fn is_there(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // `NAME-?????-of-00010`, `NAME@10` and `NAME*` mean `NAME-00000-of-00010` and the others.
    let base = name.split(['?', '@', '*']).next().unwrap_or_default().trim_end_matches('-');
    let is_shard =
        |other: &str| other.strip_prefix(base).is_some_and(|end| end.starts_with('-') && end.contains("-of-"));
    let mut others = file.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    file.is_file() || others.any(|other| is_shard(&other.file_name().to_string_lossy()))
}

/// The picture that a record's boxes are shares of: the pixels as they are stored, since TensorFlow ignores the EXIF orientation. A
/// record with the size of the upright picture has the boxes of that one.
fn decoded(encoded: &[u8], size: (u32, u32)) -> Result<RgbImage, PictureError> {
    let stored = picture::decode_as_stored(encoded)?;
    let (width, height) = stored.dimensions();
    let is_upright = width != height && size == (height, width);
    if is_upright { picture::decode(encoded) } else { Ok(stored) }
}

impl Examples for Records {
    fn count(&self) -> usize {
        self.examples.len()
    }

    fn example(&self, index: usize) -> Result<(RgbImage, Vec<Truth>), Spoiled> {
        let Stored { name, encoded, size, truths, .. } = &self.examples[index];
        let picture = decoded(encoded, *size);
        let picture = picture.map_err(|error| Spoiled { example: name.clone(), reason: error.to_string() })?;
        Ok((picture, truths.clone()))
    }
}

#[cfg(test)]
mod tests {
    use dataset::formats::tfrecord::{Example, Feature, write_record};
    use image::codecs::png::PngEncoder;
    use image::{ExtendedColorType, ImageEncoder, Rgb};

    use super::*;

    /// A picture of 8 x 4 stored pixels, whose left half is white, with an EXIF orientation.
    fn picture(orientation: u8) -> Vec<u8> {
        let half = RgbImage::from_fn(8, 4, |x, _| Rgb([if x < 4 { 255 } else { 0 }; 3]));
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        encoder.set_exif_metadata(exif).unwrap();
        encoder.write_image(&half, 8, 4, ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    /// Writes a file of one record: an object in the left half, and a crowd in the right half.
    fn write(file: &Path, encoded: &[u8], [width, height]: [i64; 2]) {
        let mut example = Example::default();
        example.insert("image/encoded", Feature::Bytes(vec![encoded]));
        example.insert("image/width", Feature::Ints(vec![width]));
        example.insert("image/height", Feature::Ints(vec![height]));
        example.insert("image/object/bbox/xmin", Feature::Floats(vec![0.0, 0.5]));
        example.insert("image/object/bbox/ymin", Feature::Floats(vec![0.0, 0.0]));
        example.insert("image/object/bbox/xmax", Feature::Floats(vec![0.5, 1.0]));
        example.insert("image/object/bbox/ymax", Feature::Floats(vec![1.0, 1.0]));
        example.insert("image/object/class/label", Feature::Ints(vec![1, 1]));
        example.insert("image/object/is_crowd", Feature::Ints(vec![0, 1]));
        let mut bytes = Vec::new();
        write_record(&mut bytes, &example.encode()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    fn read(folder: &Path, named: &[&str]) -> anyhow::Result<Option<Records>> {
        let label_map = folder.join("label_map.pbtxt");
        std::fs::write(&label_map, "item { id: 1 name: 'circle' }").unwrap();
        let config = include_str!("../../../../examples/object-detection/pipeline.config");
        let named: Vec<String> = named.iter().map(|name| format!("/elsewhere/{name}")).collect();
        Records::read(folder, &named, "training", &label_map, &Config::parse(config).unwrap(), &mut |_| ())
    }

    #[test]
    fn boxes_are_shares_of_the_stored_pixels_whatever_the_orientation() {
        let folder = tempfile::tempdir().unwrap();
        let example = |orientation: u8, size: [i64; 2]| {
            write(&folder.path().join("training.record"), &picture(orientation), size);
            read(folder.path(), &[]).unwrap().unwrap().example(0).unwrap()
        };
        for orientation in 1..=8 {
            // TensorFlow does not read the size, so that another one changes nothing.
            for size in [[8, 4], [80, 40]] {
                let (picture, truths) = example(orientation, size);
                assert_eq!(picture.dimensions(), (8, 4), "{orientation}");
                assert_eq!((picture.get_pixel(0, 0).0, picture.get_pixel(7, 3).0), ([255; 3], [0; 3]), "{orientation}");
                assert_eq!(truths, [Truth { corners: [0.0, 0.0, 1.0, 0.5], class: 0, weight: 1.0 }]);
            }
        }
        // The size is that of the upright picture.
        let (picture, _) = example(6, [4, 8]);
        assert_eq!((picture.dimensions(), picture.get_pixel(3, 0).0), ((4, 8), [255; 3]));
    }

    #[test]
    fn crowds_are_apart_from_the_objects_to_train_with() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("training.record"), &picture(1), [8, 4]);
        let records = read(folder.path(), &[]).unwrap().unwrap();
        assert_eq!(records.crowds(0), [Truth { corners: [0.0, 0.5, 1.0, 1.0], class: 0, weight: 1.0 }]);
        assert_eq!(records.example(0).unwrap().1.len(), 1);
    }

    #[test]
    fn a_missing_file_or_shard_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| write(&folder.path().join(name), &picture(1), [8, 4]);
        let read = |named: &[&str]| read(folder.path(), named);
        let refused = |named: &[&str]| format!("{:#}", read(named).unwrap_err());
        assert!(read(&["a.record"]).unwrap().is_none());
        write("training.record-00000-of-00002");
        for named in [vec![], vec!["absent.record"], vec!["training.record-?????-of-00002"], vec!["training.record@2"]]
        {
            let message = refused(&named);
            assert!(message.contains("-00001-of-00002"), "{message}");
        }
        write("training.record-00001-of-00002");
        assert_eq!(read(&["absent.record"]).unwrap().unwrap().len(), 2);
        write("a.record");
        assert_eq!(read(&["a.record"]).unwrap().unwrap().len(), 1);
        let message = refused(&["a.record", "b.record"]);
        assert!(message.contains("b.record cannot be read"), "{message}");
    }
}
