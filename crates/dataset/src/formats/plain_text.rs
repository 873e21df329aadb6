//! The text files of Cartucho's `mAP`: a file for each picture, a line for each box (`README.md` of github.com/Cartucho/mAP).

use std::fmt::Write;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::file_names::{FileNames, entries, picture_of, stem};
use super::lines::{Line, Lines, MAX_LINE};
use super::losses::Holds;
use super::number::Number;
use crate::annotations::{Flags, Object, Rectangle, Sample, base_name};
use crate::{Classes, DatasetError, Findings, Options, Reading, Sink, Source};

/// Reads a folder of text files: `class left top right bottom`, perhaps with `difficult`, or `class confidence left top right bottom`.
///
/// A picture's name is that of its text file. If the folder of pictures has one of this name, that is its place.
pub struct PlainText {
    folder: PathBuf,
    files: std::vec::IntoIter<PathBuf>,
    options: Options,
}

impl PlainText {
    /// Lists the text files of a folder, or takes one file.
    ///
    /// # Errors
    /// [`DatasetError::Io`], and [`DatasetError::Refused`] where there is none.
    pub fn open(path: &Path, options: &Options) -> Result<Self, DatasetError> {
        let files = if path.is_file() { vec![path.to_owned()] } else { entries(path)? };
        let is_text = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "txt");
        let files: Vec<PathBuf> = files.into_iter().filter(is_text).collect();
        if files.is_empty() {
            return Err(DatasetError::refused(path, "no .txt is there: a folder with a text file a picture works"));
        }
        let folder = if path.is_file() { path.parent().unwrap_or(path) } else { path };
        Ok(Self { folder: folder.to_owned(), files: files.into_iter(), options: options.clone() })
    }
}

impl Source for PlainText {
    fn next(&mut self, reading: &mut Reading) -> Result<Option<Sample>, DatasetError> {
        let Some(file) = self.files.next() else { return Ok(None) };
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let pictures = self.options.images.as_deref().map_or(&*self.folder, Path::new);
        let name = picture_of(pictures, &stem).unwrap_or(stem);
        let mut sample =
            Sample { place: self.options.place(&self.folder, &name), name, is_annotated: true, ..Sample::default() };
        let opened = File::open(&file).map_err(DatasetError::io(&file, "opened"))?;
        let mut lines = Lines::new(BufReader::new(opened));
        while let Some((number, line)) = lines.next().map_err(DatasetError::io(&file, "read"))? {
            let found = match line {
                Line::TooLong => Err(format!("it has more than {MAX_LINE} bytes")),
                Line::Text(text) if text.trim_ascii().is_empty() => continue,
                Line::Text(text) => object(text),
            };
            match found {
                Ok((name, object)) => {
                    let class = reading.classes.of_name(&name);
                    sample.objects.push(Object { class, ..object });
                }
                Err(reason) => reading.findings.fault(&file, Some(("line", number)), reason),
            }
        }
        Ok(Some(sample))
    }
}

/// The class and the box of a line.
fn object(text: &[u8]) -> Result<(String, Object), String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no UTF-8".to_owned())?;
    let (text, is_difficult) = match text.trim_end().strip_suffix("difficult") {
        Some(rest) if rest.ends_with(char::is_whitespace) => (rest, true),
        _ => (text, false),
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    let wrong = || "`class left top right bottom` or `class confidence left top right bottom` works".to_owned();
    let number = |field: &&str| field.parse::<f64>().ok().filter(|number| number.is_finite());
    let numbers = fields.iter().rev().take(5).map_while(number).count();
    // A class may be a number too.
    let numbers = numbers.min(fields.len().saturating_sub(1));
    let (confidence, first) = match (numbers, is_difficult) {
        (5, false) => (fields.get(fields.len() - 5).and_then(number), fields.len() - 5),
        (4.., _) => (None, fields.len() - 4),
        _ => return Err(wrong()),
    };
    let edges: Vec<f64> = fields[fields.len() - 4..].iter().filter_map(number).collect();
    let edges: [f64; 4] = edges.try_into().map_err(|_| wrong())?;
    let flags = Flags { is_difficult, ..Flags::default() };
    let bounds = Rectangle::between(edges);
    let object = Object { confidence, flags, ..Object::new(crate::ClassId(0), bounds) };
    Ok((fields[..first].join(" "), object))
}

const HOLDS: Holds = Holds {
    objects: true,
    confidences: true,
    difficult: true,
    labels: false,
    crowds: false,
    truncated: false,
    occluded: false,
    depictions: false,
    areas: false,
    weights: false,
    jobs: false,
    classes_without_name: false,
};

/// Writes a text file for each picture. A picture whose boxes all have a confidence gets lines with a confidence.
pub struct PlainTextWriter {
    folder: PathBuf,
    names: FileNames,
}

impl PlainTextWriter {
    /// Makes the folder.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn create(folder: &Path) -> Result<Self, DatasetError> {
        std::fs::create_dir_all(folder).map_err(DatasetError::io(folder, "made"))?;
        Ok(Self { folder: folder.to_owned(), names: FileNames::default() })
    }
}

impl Sink for PlainTextWriter {
    fn write(&mut self, sample: &Sample, classes: &Classes, findings: &mut Findings) -> Result<(), DatasetError> {
        HOLDS.note(sample, classes, findings);
        let is_sure = sample.objects.iter().all(|object| object.confidence.is_some());
        let mut text = String::new();
        for object in &sample.objects {
            let shown = classes.shown(object.class);
            let name = shown.split_whitespace().collect::<Vec<_>>().join("_");
            findings.loss("boxes of a class with a space in its name: written with `_`", usize::from(name != shown));
            text.push_str(&name);
            match object.confidence.filter(|_| is_sure) {
                Some(confidence) => drop(write!(text, " {}", Number(confidence))),
                None => {
                    let lost = object.confidence.is_some();
                    findings.loss("confidences of pictures where some are missing: left out", usize::from(lost));
                }
            }
            let [left, top, right, bottom] = object.bounds.corners().map(Number);
            // Writing to a string cannot fail.
            let _ = write!(text, " {left} {top} {right} {bottom}");
            // A line with a confidence has no place for the mark.
            let is_marked = object.flags.is_difficult && !is_sure;
            text.push_str(if is_marked { " difficult\n" } else { "\n" });
            let lost = object.flags.is_difficult && is_sure;
            findings.loss("boxes marked as difficult beside a confidence: the mark is left out", usize::from(lost));
        }
        let name = self.names.stem_of(&sample.name);
        let renamed = name != stem(base_name(&sample.name));
        findings.loss("pictures with the name of another one, or none: their files are renamed", usize::from(renamed));
        let file = self.folder.join(format!("{name}.txt"));
        std::fs::write(&file, text).map_err(DatasetError::io(&file, "written"))
    }

    fn finish(&mut self, _: &Classes, _: &mut Findings) -> Result<Vec<PathBuf>, DatasetError> {
        Ok(vec![self.folder.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_with_one_name_have_two_files_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PlainTextWriter::create(folder.path()).unwrap();
        let mut findings = Findings::default();
        for place in ["a/1.jpg", "b/1.jpg", "b/2.jpg"] {
            writer.write(&Sample::at(place), &Classes::default(), &mut findings).unwrap();
        }
        let names: Vec<_> =
            entries(folder.path()).unwrap().into_iter().map(|file| file.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["1-2.txt", "1.txt", "2.txt"]);
        assert_eq!(findings.losses().map(|(_, count)| count).sum::<u64>(), 1);
    }

    #[test]
    fn each_kind_of_line_is_told_from_the_others() {
        let read = |text: &str| object(text.as_bytes()).map(|(name, object)| (name, object.confidence, object));
        let (name, confidence, found) = read("tv monitor 0.5 1 2 3.5 4").unwrap();
        assert_eq!((&*name, confidence, found.bounds.corners()), ("tv monitor", Some(0.5), [1.0, 2.0, 3.5, 4.0]));
        let (name, confidence, found) = read("book 1 2 3 4 difficult").unwrap();
        assert_eq!((&*name, confidence, found.flags.is_difficult), ("book", None, true));
        let (name, confidence, _) = read("7 1 2 3 4").unwrap();
        assert_eq!((&*name, confidence), ("7", None));
        for text in ["book 1 2 3", "1 2 3 4", "book a b c d", "book 1 2 3 inf", "difficult"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
