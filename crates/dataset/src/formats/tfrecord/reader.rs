//! Reads examples as pictures with annotations.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::example::{Example, Feature};
use super::framing::{Damage, Records};
use super::shards;
use crate::annotations::{Flags, Label, Object, Rectangle, Sample, Size};
use crate::formats::label_map::LabelMap;
use crate::formats::number::pixels;
use crate::formats::source::folder_of;
use crate::{ClassId, DatasetError, Options, Reading, Source};

/// Features that are read, or say nothing that is not said elsewhere.
const KNOWN: [&str; 24] = [
    "image/encoded",
    "image/format",
    "image/filename",
    "image/source_id",
    "image/height",
    "image/width",
    "image/channels",
    "image/colorspace",
    "image/key/sha256",
    "image/class/label",
    "image/class/text",
    "image/object/bbox/xmin",
    "image/object/bbox/xmax",
    "image/object/bbox/ymin",
    "image/object/bbox/ymax",
    "image/object/class/text",
    "image/object/class/label",
    "image/object/area",
    "image/object/is_crowd",
    "image/object/group_of",
    "image/object/difficult",
    "image/object/truncated",
    "image/object/weight",
    "image/object/occluded",
];

/// Reads a TFRecord file or its shards.
///
/// As in the Object Detection API, a class's text counts before its label. With a label map, a text that is not in it is a class without
/// a number.
pub struct TfRecord {
    files: std::vec::IntoIter<PathBuf>,
    file: PathBuf,
    records: Option<Records<Box<dyn BufRead>>>,
    options: Options,
    map: Option<LabelMap>,
}

impl TfRecord {
    /// Opens a file, or the shards of a name.
    ///
    /// # Errors
    /// [`DatasetError::Io`]; [`DatasetError::Refused`] for missing shards or a broken label map.
    pub fn open(named: &Path, options: &Options, reading: &mut Reading) -> Result<Self, DatasetError> {
        let map = options.label_map.as_deref().map(LabelMap::open).transpose()?;
        for item in map.iter().flat_map(LabelMap::items) {
            reading.classes.name(item.id - 1, &item.name);
        }
        let files = shards::files(named)?.into_iter();
        Ok(Self { files, file: named.to_owned(), records: None, options: options.clone(), map })
    }
}

impl Source for TfRecord {
    fn next(&mut self, reading: &mut Reading) -> Result<Option<Sample>, DatasetError> {
        loop {
            let Some(records) = &mut self.records else {
                let Some(file) = self.files.next() else { return Ok(None) };
                self.records = Some(Records::open(&file)?);
                self.file = file;
                continue;
            };
            let Some((at, record)) = records.read_next() else {
                self.records = None;
                continue;
            };
            let reason = match record.map_err(|damage: Damage| damage.to_string()) {
                Ok(bytes) => match read_example(bytes, &self.file, &self.options, self.map.as_ref(), reading) {
                    Ok(sample) => return Ok(Some(sample)),
                    Err(reason) => reason,
                },
                Err(reason) => reason,
            };
            reading.findings.fault(&self.file, Some(("byte", at)), reason);
        }
    }
}

/// The picture of an example's bytes. `file` says where it is from; `map` has the numbers of classes.
///
/// # Errors
/// What is wrong with the example.
pub fn read_example(
    bytes: &[u8],
    file: &Path,
    options: &Options,
    map: Option<&LabelMap>,
    reading: &mut Reading,
) -> Result<Sample, String> {
    let example = Example::parse(bytes).map_err(|error| error.to_string())?;
    let keys = Keys(&example);
    let name = keys.text("image/filename")?.or(keys.text("image/source_id")?).unwrap_or_default();
    let encoded = keys.bytes("image/encoded")?.and_then(|list| list.first().copied());
    if name.is_empty() && encoded.is_none() {
        return Err("neither image/encoded nor image/filename is there, so it shows no picture".to_owned());
    }
    let mut sample = Sample {
        place: options.place(folder_of(file), &name),
        name: name.into_owned(),
        size: keys.size()?,
        encoded: encoded.map(<[u8]>::to_vec),
        is_annotated: true,
        id: keys.text("image/source_id")?.and_then(|id| id.parse().ok()),
        ..Sample::default()
    };
    let edges = ["xmin", "ymin", "xmax", "ymax"].map(|edge| keys.floats(&format!("image/object/bbox/{edge}")));
    let [left, top, right, bottom] = edges;
    let [left, top, right, bottom] = [left?, top?, right?, bottom?];
    let count = left.len();
    if [top.len(), right.len(), bottom.len()].iter().any(|other| *other != count) {
        return Err("the four lists of image/object/bbox differ in length".to_owned());
    }
    let classes = keys.classes("image/object/class/text", "image/object/class/label", map, reading)?;
    if classes.len() != count {
        return Err(format!("it has {count} boxes and {} classes", classes.len()));
    }
    let crowds = [keys.ints("image/object/is_crowd")?, keys.ints("image/object/group_of")?];
    let marks = ["difficult", "truncated", "occluded"].map(|mark| keys.ints(&format!("image/object/{mark}")));
    let [difficult, truncated, occluded] = marks;
    let [difficult, truncated, occluded] = [difficult?, truncated?, occluded?];
    let (areas, weights) = (keys.floats("image/object/area")?, keys.floats("image/object/weight")?);
    let is_set = |list: &[i64], index: usize| list.get(index).is_some_and(|mark| *mark != 0);
    if count > 0 {
        let size = sample.size.ok_or("it has boxes, and no image/width and image/height")?;
        for (index, class) in classes.into_iter().enumerate() {
            let bounds = Rectangle::between([
                pixels(left[index], size.width),
                pixels(top[index], size.height),
                pixels(right[index], size.width),
                pixels(bottom[index], size.height),
            ]);
            sample.objects.push(Object {
                class,
                bounds,
                confidence: None,
                area: areas.get(index).map(|area| f64::from(*area)).filter(|area| *area as f32 != bounds.area() as f32),
                weight: weights.get(index).map(|weight| f64::from(*weight)),
                flags: Flags {
                    is_crowd: crowds.iter().any(|list| is_set(list, index)),
                    is_difficult: is_set(difficult, index),
                    is_truncated: is_set(truncated, index),
                    is_occluded: is_set(occluded, index),
                    ..Flags::default()
                },
            });
        }
    }
    let labels = keys.classes("image/class/text", "image/class/label", map, reading)?;
    sample.labels = labels.into_iter().map(|class| Label { class, confidence: None }).collect();
    for name in example.names().filter(|name| !KNOWN.contains(name)) {
        // A file may have any number of names.
        let shown = if name.len() <= 40 { name } else { "with a long name" };
        reading.findings.loss(&format!("features {shown}: left out"), 1);
    }
    Ok(sample)
}

/// Features of an example, by their types.
struct Keys<'a, 'e>(&'e Example<'a>);

impl<'a, 'e> Keys<'a, 'e> {
    fn bytes(&self, name: &str) -> Result<Option<&'e [&'a [u8]]>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Feature::Bytes(values)) => Ok(Some(values)),
            Some(_) => Err(format!("{name} is no list of bytes")),
        }
    }

    fn floats(&self, name: &str) -> Result<&'e [f32], String> {
        match self.0.get(name) {
            None => Ok(&[]),
            Some(Feature::Floats(values)) if values.iter().all(|value| value.is_finite()) => Ok(values),
            Some(_) => Err(format!("{name} is no list of finite numbers")),
        }
    }

    fn ints(&self, name: &str) -> Result<&'e [i64], String> {
        match self.0.get(name) {
            None => Ok(&[]),
            Some(Feature::Ints(values)) => Ok(values),
            Some(_) => Err(format!("{name} is no list of whole numbers")),
        }
    }

    fn text(&self, name: &str) -> Result<Option<std::borrow::Cow<'a, str>>, String> {
        Ok(self.bytes(name)?.and_then(|list| list.first()).map(|bytes| String::from_utf8_lossy(bytes)))
    }

    fn size(&self) -> Result<Option<Size>, String> {
        let side = |name: &str| -> Result<Option<u32>, String> {
            match self.ints(name)?.first() {
                None => Ok(None),
                Some(side) => match u32::try_from(*side) {
                    Ok(side) if side > 0 => Ok(Some(side)),
                    _ => Err(format!("{name} is {side}")),
                },
            }
        };
        let depth = match self.ints("image/channels")?.first() {
            Some(1) => 1,
            _ => 3,
        };
        Ok(side("image/width")?.zip(side("image/height")?).map(|(width, height)| Size { width, height, depth }))
    }

    /// Classes by their texts, or by their labels where there are no texts.
    fn classes(
        &self,
        text: &str,
        label: &str,
        map: Option<&LabelMap>,
        reading: &mut Reading,
    ) -> Result<Vec<ClassId>, String> {
        let texts = self.bytes(text)?.unwrap_or_default();
        if texts.is_empty() {
            let number = |label: &i64| label.checked_sub(1).ok_or("a label is out of range".to_owned());
            return self.ints(label)?.iter().map(|label| Ok(reading.classes.of_number(number(label)?))).collect();
        }
        let mut unknown = 0;
        let classes = texts.iter().map(|text| {
            let text = String::from_utf8_lossy(text);
            match map.map(|map| map.id(&text)) {
                Some(Some(id)) => reading.classes.of_number(id - 1),
                Some(None) => {
                    unknown += 1;
                    reading.classes.of_name(&text)
                }
                None => reading.classes.of_name(&text),
            }
        });
        let classes = classes.collect();
        reading.findings.loss("annotations of a class that the label map lacks: kept by name", unknown);
        Ok(classes)
    }
}
