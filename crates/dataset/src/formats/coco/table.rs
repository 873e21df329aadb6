//! The lists of a COCO file in memory, about 100 bytes an annotation.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use indexmap::IndexSet;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::annotations::{Flags, Object, Rectangle};
use crate::formats::ground_truth::reason;
use crate::{ClassId, Classes, DatasetError, Reading};

/// A picture of `images`.
#[derive(Debug, Deserialize)]
pub(super) struct Image {
    pub(super) id: i64,
    pub(super) file_name: String,
    #[serde(default)]
    pub(super) width: u32,
    #[serde(default)]
    pub(super) height: u32,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct Annotation<'a> {
    image_id: i64,
    category_id: i64,
    bbox: [f64; 4],
    area: Option<f64>,
    #[serde(default)]
    iscrowd: Truth,
    score: Option<f64>,
    #[serde(borrow)]
    segmentation: Option<&'a RawValue>,
    #[serde(borrow)]
    keypoints: Option<&'a RawValue>,
}

/// 0 or 1, or `false` or `true` as some programs write.
#[derive(Default)]
struct Truth(bool);

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(f64),
            Truth(bool),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Number(number) => number != 0.0,
            Either::Truth(truth) => truth,
        }))
    }
}

/// An annotation, or a result with its score.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) image_id: i64,
    pub(super) object: Object,
}

/// Everything of a file that the model of annotations holds.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) images: Vec<Image>,
    pub(super) rows: Vec<Row>,
    /// The numbers of classes. While the file is read, a row's class is a place here, since names may come later.
    numbers: IndexSet<i64>,
}

impl Table {
    /// Reads a detection file. Elements that cannot be read become faults.
    pub(super) fn read(file: &Path, reading: &mut Reading) -> Result<Self, DatasetError> {
        Self::parse(file, open(file)?, reading)
    }

    /// As [`Table::read`], from anywhere.
    pub(super) fn parse(file: &Path, reader: impl Read, reading: &mut Reading) -> Result<Self, DatasetError> {
        let mut parser = serde_json::Deserializer::from_reader(reader);
        let mut table = Self::default();
        let lists = Lists { table: &mut table, file, reading };
        lists.deserialize(&mut parser).and_then(|()| parser.end()).map_err(|error| refused(file, &error))?;
        table.find_classes(&mut reading.classes);
        Ok(table)
    }

    /// Reads a file of results, which is a list.
    pub(super) fn parse_results(file: &Path, reader: impl Read, reading: &mut Reading) -> Result<Self, DatasetError> {
        let mut parser = serde_json::Deserializer::from_reader(reader);
        let mut table = Self::default();
        let rows = Elements { file, what: "result", each: |text: &str| table.row(text, true, reading) };
        let faults = rows.deserialize(&mut parser).and_then(|faults| parser.end().map(|()| faults));
        faults.map_err(|error| refused(file, &error))?.note(file, "result", reading);
        table.find_classes(&mut reading.classes);
        Ok(table)
    }

    fn row(&mut self, text: &str, needs_score: bool, reading: &mut Reading) -> Result<(), String> {
        let found: Annotation<'_> = serde_json::from_str(text).map_err(|error| reason(&error))?;
        let [left, top, width, height] = found.bbox;
        if needs_score && found.score.is_none() {
            return Err("missing field `score`".to_owned());
        }
        let number = found.category_id.checked_sub(1).ok_or("the category id is out of range")?;
        let bounds = Rectangle { left, top, width, height };
        let outlined = found.segmentation.is_some_and(|raw| !matches!(raw.get(), "[]" | "null" | "{}"));
        reading.findings.loss("outlines of objects (segmentation): left out", usize::from(outlined));
        reading.findings.loss("key points of objects: left out", usize::from(found.keypoints.is_some()));
        let object = Object {
            class: ClassId(self.numbers.insert_full(number).0 as u32),
            bounds,
            confidence: found.score,
            area: found.area.filter(|area| *area != bounds.area()),
            weight: None,
            flags: Flags { is_crowd: found.iscrowd.0, ..Flags::default() },
        };
        self.rows.push(Row { image_id: found.image_id, object });
        Ok(())
    }

    fn find_classes(&mut self, classes: &mut Classes) {
        let ids: Vec<ClassId> = self.numbers.iter().map(|number| classes.of_number(*number)).collect();
        for row in &mut self.rows {
            row.object.class = ids[row.object.class.0 as usize];
        }
    }

    /// The place in `images` of every picture's id. An id that is there twice becomes a fault.
    pub(super) fn by_id(&self, file: &Path, reading: &mut Reading) -> HashMap<i64, u32> {
        let mut places = HashMap::with_capacity(self.images.len());
        for (place, image) in self.images.iter().enumerate() {
            match places.entry(image.id) {
                Entry::Vacant(new) => drop(new.insert(place as u32)),
                Entry::Occupied(_) => {
                    let reason = format!("a second picture has the id {}: annotations go to the first", image.id);
                    reading.findings.fault(file, Some(("image", place as u64)), reason);
                }
            }
        }
        places
    }
}

pub(super) fn open(file: &Path) -> Result<BufReader<File>, DatasetError> {
    let opened = File::open(file).map_err(DatasetError::io(file, "opened"))?;
    Ok(BufReader::with_capacity(1 << 17, opened))
}

fn refused(file: &Path, error: &serde_json::Error) -> DatasetError {
    DatasetError::refused(file, format!("no COCO file: {error}"))
}

/// The lists of a detection file, whose keys may come in any order.
struct Lists<'a> {
    table: &'a mut Table,
    file: &'a Path,
    reading: &'a mut Reading,
}

impl<'de> DeserializeSeed<'de> for Lists<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Lists<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the lists `images`, `annotations` and `categories`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { table, file, reading } = self;
        let mut has_images = false;
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "images" => {
                    has_images = true;
                    let each = |text: &str| {
                        table.images.push(serde_json::from_str(text).map_err(|error| reason(&error))?);
                        Ok(())
                    };
                    map.next_value_seed(Elements { file, what: "image", each })?.note(file, "image", reading);
                }
                "annotations" => {
                    let each = |text: &str| table.row(text, false, reading);
                    let faults = map.next_value_seed(Elements { file, what: "annotation", each })?;
                    faults.note(file, "annotation", reading);
                }
                "categories" => {
                    let classes = &mut reading.classes;
                    let each = |text: &str| {
                        let category: Category = serde_json::from_str(text).map_err(|error| reason(&error))?;
                        let number = category.id.checked_sub(1).ok_or("the id is out of range")?;
                        classes.name(number, &category.name);
                        Ok(())
                    };
                    let faults = map.next_value_seed(Elements { file, what: "category", each })?;
                    faults.note(file, "category", reading);
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if has_images { Ok(()) } else { Err(serde::de::Error::custom("the list `images` is missing")) }
    }
}

/// A list whose elements are handled one by one.
struct Elements<'a, F> {
    file: &'a Path,
    what: &'static str,
    each: F,
}

/// Elements that cannot be read: their places and reasons, the first thousand.
#[derive(Default)]
struct Faults {
    kept: Vec<(u64, String)>,
    count: u64,
}

impl Faults {
    fn note(self, file: &Path, what: &'static str, reading: &mut Reading) {
        let more = self.count - self.kept.len() as u64;
        for (place, reason) in self.kept {
            reading.findings.fault(file, Some((what, place)), reason);
        }
        for _ in 0..more {
            reading.findings.fault(file, None, String::new());
        }
    }
}

impl<'de, F: FnMut(&str) -> Result<(), String>> DeserializeSeed<'de> for Elements<'_, F> {
    type Value = Faults;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Faults, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&str) -> Result<(), String>> Visitor<'de> for Elements<'_, F> {
    type Value = Faults;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, one {} after the other, in {}", self.what, self.file.display())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Faults, A::Error> {
        let (mut faults, mut place) = (Faults::default(), 0);
        while let Some(raw) = list.next_element::<Box<RawValue>>()? {
            if let Err(reason) = (self.each)(raw.get()) {
                faults.count += 1;
                if faults.kept.len() < 1000 {
                    faults.kept.push((place, reason));
                }
            }
            place += 1;
        }
        Ok(faults)
    }
}
