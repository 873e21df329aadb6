//! Reads the CSV files.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use csv::{Reader, ReaderBuilder, StringRecord};

use super::hierarchy::Hierarchy;
use crate::annotations::{Flags, Label, Object, Rectangle, Sample, Size};
use crate::formats::source::folder_of;
use crate::{DatasetError, Options, Pictures, Reading, Source};

/// The most bytes of a file of descriptions.
const MAX_DESCRIPTIONS: u64 = 64 << 20;

/// The columns that are read, with those that must be there first.
const COLUMNS: [&str; 12] = [
    "ImageID",
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
];

/// Reads boxes (`XMin` to `YMax`, shares of the sides) or classes of whole pictures of Open Images.
///
/// The lines of a picture follow each other, as in the published files. Sizes are not in the files, so each picture with boxes is
/// looked at. A class of a whole picture with confidence 0 is one that the picture does not show, and is left out.
pub struct OpenImages<'p> {
    file: PathBuf,
    rows: Reader<Box<dyn Read + 'p>>,
    columns: [Option<usize>; 12],
    options: Options,
    names: HashMap<String, String>,
    hierarchy: Hierarchy,
    pictures: &'p dyn Pictures,
    /// The first line of the next picture.
    waiting: Option<StringRecord>,
    /// Hashes of the pictures that are done.
    done: HashSet<u64>,
}

impl<'p> OpenImages<'p> {
    /// Opens a file. `pictures` gives the sizes.
    ///
    /// # Errors
    /// [`DatasetError::Io`]; [`DatasetError::Refused`] where columns are missing, or the descriptions or the hierarchy are broken.
    pub fn open(file: &Path, options: &Options, pictures: &'p dyn Pictures) -> Result<Self, DatasetError> {
        let opened = File::open(file).map_err(DatasetError::io(file, "opened"))?;
        Self::read(file, Box::new(BufReader::with_capacity(1 << 17, opened)), options, pictures)
    }

    /// Reads a file of this name from anywhere.
    ///
    /// # Errors
    /// Those of [`OpenImages::open`].
    pub fn read(
        file: &Path,
        bytes: Box<dyn Read + 'p>,
        options: &Options,
        pictures: &'p dyn Pictures,
    ) -> Result<Self, DatasetError> {
        let mut rows = ReaderBuilder::new().flexible(true).from_reader(bytes);
        let headers = rows.headers().map_err(|error| DatasetError::refused(file, error.to_string()))?;
        let columns = COLUMNS.map(|name| headers.iter().position(|header| header.trim() == name));
        for (name, column) in COLUMNS.iter().zip(columns).take(2) {
            if column.is_none() {
                return Err(DatasetError::refused(file, format!("the column {name} is missing in the first line")));
            }
        }
        let edges = columns[3..7].iter().flatten().count();
        if edges != 0 && edges != 4 {
            return Err(DatasetError::refused(file, "some of the columns XMin, XMax, YMin and YMax are missing"));
        }
        let names = options.descriptions.as_deref().map(descriptions).transpose()?.unwrap_or_default();
        let hierarchy = options.hierarchy.as_deref().map(Hierarchy::open).transpose()?.unwrap_or_default();
        Ok(Self {
            file: file.to_owned(),
            rows,
            columns,
            options: options.clone(),
            names,
            hierarchy,
            pictures,
            waiting: None,
            done: HashSet::new(),
        })
    }

    /// The next line that can be parsed.
    fn row(&mut self, reading: &mut Reading) -> Result<Option<StringRecord>, DatasetError> {
        loop {
            let mut row = StringRecord::new();
            match self.rows.read_record(&mut row) {
                Ok(true) => return Ok(Some(row)),
                Ok(false) => return Ok(None),
                Err(error) => {
                    let line = error.position().map(|position| ("line", position.line()));
                    if let csv::ErrorKind::Io(_) = error.kind() {
                        return Err(DatasetError::refused(&self.file, error.to_string()));
                    }
                    reading.findings.fault(&self.file, line, error.to_string());
                }
            }
        }
    }

    fn field<'r>(&self, row: &'r StringRecord, column: usize) -> &'r str {
        self.columns[column].and_then(|place| row.get(place)).unwrap_or_default().trim()
    }

    /// Adds what a line says.
    fn add(&self, row: &StringRecord, sample: &mut Sample, reading: &mut Reading) -> Result<(), String> {
        let label = self.field(row, 1);
        if label.is_empty() {
            return Err("LabelName is empty".to_owned());
        }
        let number = |column: usize| -> Result<f64, String> {
            let text = self.field(row, column);
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| format!("{} is {text:?}, which is no number", COLUMNS[column]))
        };
        let confidence = if self.field(row, 2).is_empty() { None } else { Some(number(2)?) };
        let labels = std::iter::once(label).chain(self.hierarchy.above(label).iter().map(String::as_str));
        let classes: Vec<_> = labels.map(|label| self.names.get(label).map_or(label, String::as_str)).collect();
        if self.columns[3].is_none() {
            for name in classes {
                let label = Label { class: reading.classes.of_name(name), confidence };
                match confidence {
                    Some(0.0) => reading.findings.loss("classes that a picture does not show: left out", 1),
                    _ if sample.labels.iter().any(|known| known.class == label.class) => {}
                    _ => sample.labels.push(label),
                }
            }
            return Ok(());
        }
        let [left, right, top, bottom] = [number(3)?, number(4)?, number(5)?, number(6)?];
        let is_set = |column: usize| self.field(row, column) == "1";
        let flags = Flags {
            is_occluded: is_set(7),
            is_truncated: is_set(8),
            is_crowd: is_set(9),
            is_depiction: is_set(10),
            is_inside: is_set(11),
            is_difficult: false,
        };
        if sample.size.is_none() {
            let size = size_of(self.pictures, &sample.place)?;
            sample.size = Some(size);
        }
        let Some(size) = sample.size else { return Ok(()) };
        let (across, down) = (f64::from(size.width), f64::from(size.height));
        let bounds = Rectangle::between([
            snapped(left, across),
            snapped(top, down),
            snapped(right, across),
            snapped(bottom, down),
        ]);
        // Boxes that people drew have a confidence of 1.
        let confidence = confidence.filter(|confidence| *confidence != 1.0);
        for name in classes {
            let class = reading.classes.of_name(name);
            sample.objects.push(Object { confidence, flags, ..Object::new(class, bounds) });
        }
        Ok(())
    }
}

impl Source for OpenImages<'_> {
    fn next(&mut self, reading: &mut Reading) -> Result<Option<Sample>, DatasetError> {
        loop {
            let waiting = self.waiting.take();
            let Some(first) = waiting.map_or_else(|| self.row(reading), |row| Ok(Some(row)))? else { return Ok(None) };
            if let Some(sample) = self.picture(first, reading)? {
                return Ok(Some(sample));
            }
        }
    }
}

impl OpenImages<'_> {
    /// The picture whose lines begin with `first`; `None` if it has no id, or came before.
    fn picture(&mut self, first: StringRecord, reading: &mut Reading) -> Result<Option<Sample>, DatasetError> {
        let id = self.field(&first, 0).to_owned();
        let name = if id.contains('.') { id.clone() } else { format!("{id}.jpg") };
        let mut sample = Sample {
            place: self.options.place(folder_of(&self.file), &name),
            name,
            is_annotated: true,
            ..Sample::default()
        };
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let is_again = !self.done.insert(hasher.finish());
        let mut row = first;
        loop {
            let line = row.position().map(|position| ("line", position.line()));
            let added = if id.is_empty() {
                Err("ImageID is empty".to_owned())
            } else if is_again {
                Err(format!("the picture {id} came before other pictures already: sort the lines by ImageID"))
            } else {
                self.add(&row, &mut sample, reading)
            };
            if let Err(reason) = added {
                reading.findings.fault(&self.file, line, reason);
            }
            match self.row(reading)? {
                Some(next) if self.field(&next, 0) == id => row = next,
                next => {
                    self.waiting = next;
                    break;
                }
            }
        }
        Ok((!is_again && !id.is_empty()).then_some(sample))
    }
}

/// The pixel edge of a share that has some six decimals: a whole pixel if it is within a ten-thousandth of one.
fn snapped(share: f64, side: f64) -> f64 {
    let edge = share * side;
    // Six decimals are half a millionth off at most.
    if (edge - edge.round()).abs() <= side * 1e-6 { edge.round() } else { edge }
}

/// The size of the picture at a place.
pub(crate) fn size_of(pictures: &dyn Pictures, place: &str) -> Result<Size, String> {
    let bytes = pictures.bytes(place).map_err(|error| format!("its size is not known: {error}"))?;
    size_in(&bytes).map_err(|error| format!("the picture {place}: {error}"))
}

/// The size of a picture.
pub(crate) fn size_in(bytes: &[u8]) -> Result<Size, picture::PictureError> {
    picture::size(bytes).map(|(width, height)| Size { width, height, depth: 3 })
}

/// `class-descriptions-boxable.csv`: `/m/01g317,Person`.
fn descriptions(file: &Path) -> Result<HashMap<String, String>, DatasetError> {
    let opened = File::open(file).map_err(DatasetError::io(file, "opened"))?;
    let mut rows = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(opened.take(MAX_DESCRIPTIONS));
    let mut names = HashMap::new();
    for row in rows.records() {
        let row = row.map_err(|error| DatasetError::refused(file, error.to_string()))?;
        match (row.get(0), row.get(1)) {
            (Some(label), Some(name)) => drop(names.insert(label.to_owned(), name.to_owned())),
            _ => {
                let line = row.position().map_or(0, csv::Position::line);
                return Err(DatasetError::refused(file, format!("line {line} has no two columns")));
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 200 x 100 pixels, whatever its name.
    struct One;

    impl Pictures for One {
        fn bytes(&self, _: &str) -> Result<Vec<u8>, DatasetError> {
            let mut png = std::io::Cursor::new(Vec::new());
            image::RgbImage::new(200, 100).write_to(&mut png, image::ImageFormat::Png).unwrap();
            Ok(png.into_inner())
        }
    }

    fn read(text: &str, options: &Options) -> (Vec<Sample>, Reading) {
        let mut reading = Reading::default();
        let mut source = OpenImages::read(Path::new("x.csv"), Box::new(text.as_bytes()), options, &One).unwrap();
        let samples = std::iter::from_fn(|| source.next(&mut reading).unwrap()).collect();
        (samples, reading)
    }

    const HEADER: &str = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n";

    #[test]
    fn boxes_have_names_marks_and_classes_above_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            Some(file)
        };
        let options = Options {
            descriptions: write("names.csv", "/m/cat,Cat\n/m/animal,\"Animal, any\"\n"),
            hierarchy: write(
                "tree.json",
                r#"{"LabelName": "e", "Subcategory": [{"LabelName": "/m/animal", "Subcategory": [{"LabelName": "/m/cat"}]}]}"#,
            ),
            ..Options::default()
        };
        let text = format!(
            "{HEADER}a1,xclick,/m/cat,1,0.25,0.5,0.1,0.333333,1,0,1,1,0\nb2,xclick,/m/cat,1,x,0,0,0,0,0,0,0,0\n"
        );
        let (samples, reading) = read(&text, &options);
        assert_eq!((samples.len(), &*samples[0].name), (2, "a1.jpg"));
        let names: Vec<_> = samples[0].objects.iter().map(|object| reading.classes.shown(object.class)).collect();
        assert_eq!(names, ["Cat", "Animal, any"]);
        let object = samples[0].objects[0];
        assert_eq!(object.bounds.corners()[..3], [50.0, 10.0, 100.0]);
        assert!((object.bounds.corners()[3] - 33.3333).abs() < 1e-9);
        assert!(object.flags.is_crowd && object.flags.is_depiction && object.flags.is_occluded);
        let faults = reading.findings.faults();
        assert_eq!(faults[0].to_string(), "x.csv, line 3: XMin is \"x\", which is no number");
    }

    #[test]
    fn a_picture_that_comes_again_is_named_however_often() {
        let lines: String = (0..200_000).map(|n| format!("{},v,/m/1,1\n", n % 2)).collect();
        let text = format!("ImageID,Source,LabelName,Confidence\n{lines}0,v,/m/2,0\n");
        let (samples, reading) = read(&text, &Options::default());
        assert_eq!((samples.len(), reading.findings.fault_count()), (2, 199_999));
        assert!(reading.findings.faults()[0].reason.contains("sort the lines"));
    }
}
