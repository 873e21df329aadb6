//! Classes of whole pictures by where the pictures lie: a folder for each class, or the names of the Oxford pets.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::file_names::{FileNames, entries, is_picture};
use super::losses::Holds;
use crate::annotations::{Label, Sample, base_name};
use crate::{ClassId, Classes, DatasetError, Findings, Options, Reading, Sink, Source};

/// The folder of pictures in the data set of the pets.
const IMAGES: &str = "images";

/// Reads `CLASS/picture.jpg`, or with [`Naming::Pets`] a folder of `CLASS_12.jpg`.
pub struct Folders {
    pictures: std::vec::IntoIter<(String, PathBuf)>,
}

/// What names a picture's class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// The folder.
    Folder,
    /// The file's name: `/([^/]+)_\d+.jpg$`, as the Oxford-IIIT Pet data set is read.
    Pets,
}

impl Folders {
    /// Lists the pictures: classes in the order of their names, from 0, pictures in that of theirs.
    ///
    /// # Errors
    /// [`DatasetError::Io`], and [`DatasetError::Refused`] where there is no picture.
    pub fn open(root: &Path, naming: Naming, _: &Options, reading: &mut Reading) -> Result<Self, DatasetError> {
        let mut pictures = Vec::new();
        match naming {
            Naming::Folder => {
                for folder in entries(root)?.into_iter().filter(|folder| folder.is_dir()) {
                    let class = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    for file in entries(&folder)? {
                        if is_picture(&file) && file.is_file() {
                            pictures.push((class.clone(), file));
                        } else {
                            reading.findings.loss("files that are no .jpg, .png or .webp: passed over", 1);
                        }
                    }
                }
            }
            Naming::Pets => {
                // The data set has pictures in `images`.
                let images = root.join(IMAGES);
                for file in entries(if images.is_dir() { &images } else { root })? {
                    match file.file_name().and_then(|name| name.to_str()).and_then(pet) {
                        Some(class) => pictures.push((class.to_owned(), file)),
                        None => reading.findings.loss("files whose names are not CLASS_NUMBER.jpg: passed over", 1),
                    }
                }
                pictures.sort();
            }
        }
        if pictures.is_empty() {
            let reason = match naming {
                Naming::Folder => "there is no picture in a folder of this folder",
                Naming::Pets => "there is no CLASS_NUMBER.jpg",
            };
            return Err(DatasetError::refused(root, reason));
        }
        for (class, _) in &pictures {
            reading.classes.of_name(class);
        }
        Ok(Self { pictures: pictures.into_iter() })
    }
}

/// The class that a name has: what comes before `_`, digits, any one letter, and `jpg`.
#[must_use]
pub fn pet(name: &str) -> Option<&str> {
    let mut letters = name.strip_suffix("jpg")?.chars();
    letters.next_back()?;
    let numbered = letters.as_str();
    let stem = numbered.trim_end_matches(|letter: char| letter.is_numeric());
    (stem.len() < numbered.len()).then_some(())?;
    stem.strip_suffix('_').filter(|class| !class.is_empty())
}

impl Source for Folders {
    fn next(&mut self, reading: &mut Reading) -> Result<Option<Sample>, DatasetError> {
        let Some((class, file)) = self.pictures.next() else { return Ok(None) };
        let mut sample = Sample::at(file.to_string_lossy());
        sample.labels.push(Label { class: reading.classes.of_name(&class), confidence: None });
        sample.is_annotated = true;
        Ok(Some(sample))
    }
}

const HOLDS: Holds = Holds {
    labels: true,
    objects: false,
    confidences: false,
    crowds: false,
    difficult: false,
    truncated: false,
    occluded: false,
    depictions: false,
    areas: false,
    weights: false,
    jobs: false,
    classes_without_name: false,
};

/// Writes a folder for each class, with the pictures in it.
pub struct FoldersWriter {
    root: PathBuf,
    folders: HashMap<ClassId, (PathBuf, FileNames)>,
    names: FileNames,
}

impl FoldersWriter {
    /// Makes the folder.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn create(root: &Path) -> Result<Self, DatasetError> {
        std::fs::create_dir_all(root).map_err(DatasetError::io(root, "made"))?;
        Ok(Self { root: root.to_owned(), folders: HashMap::new(), names: FileNames::default() })
    }
}

impl Sink for FoldersWriter {
    fn needs_bytes(&self) -> bool {
        true
    }

    fn write(&mut self, sample: &Sample, classes: &Classes, findings: &mut Findings) -> Result<(), DatasetError> {
        HOLDS.note(sample, classes, findings);
        let [label, others @ ..] = &sample.labels[..] else {
            findings.loss("pictures without a class of the whole picture: left out", 1);
            return Ok(());
        };
        findings.loss("second classes of a picture: left out", others.len());
        let bytes = sample.encoded.as_deref().ok_or_else(|| DatasetError::Picture {
            place: sample.place.clone(),
            reason: "its bytes are not there".to_owned(),
        })?;
        if !self.folders.contains_key(&label.class) {
            let shown = classes.shown(label.class);
            // A class's name may have a `/`, which is no folder.
            let name = self.names.of(&shown.replace(['/', '\\'], "_"));
            findings.loss("classes whose names are no names of folders: renamed", usize::from(name != shown));
            let folder = self.root.join(name);
            std::fs::create_dir_all(&folder).map_err(DatasetError::io(&folder, "made"))?;
            self.folders.insert(label.class, (folder, FileNames::default()));
        }
        let Some((folder, names)) = self.folders.get_mut(&label.class) else { return Ok(()) };
        let file = folder.join(names.of(base_name(&sample.name)));
        std::fs::write(&file, bytes).map_err(DatasetError::io(&file, "written"))
    }

    fn finish(&mut self, _: &Classes, _: &mut Findings) -> Result<Vec<PathBuf>, DatasetError> {
        Ok(vec![self.root.clone()])
    }
}

/// Writes `images/CLASS_1.jpg` and so on, as the Oxford-IIIT Pet data set has its pictures.
pub struct PetsWriter {
    root: PathBuf,
    /// The pictures of each name so far, which two classes may have.
    counts: HashMap<String, usize>,
}

impl PetsWriter {
    /// Makes the folder.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn create(root: &Path) -> Result<Self, DatasetError> {
        let images = root.join(IMAGES);
        std::fs::create_dir_all(&images).map_err(DatasetError::io(&images, "made"))?;
        Ok(Self { root: root.to_owned(), counts: HashMap::new() })
    }
}

impl Sink for PetsWriter {
    fn needs_bytes(&self) -> bool {
        true
    }

    fn write(&mut self, sample: &Sample, classes: &Classes, findings: &mut Findings) -> Result<(), DatasetError> {
        HOLDS.note(sample, classes, findings);
        let [label, others @ ..] = &sample.labels[..] else {
            findings.loss("pictures without a class of the whole picture: left out", 1);
            return Ok(());
        };
        findings.loss("second classes of a picture: left out", others.len());
        let bytes = sample.encoded.as_deref().unwrap_or_default();
        if !bytes.starts_with(&[0xff, 0xd8]) {
            findings.loss("pictures that are no JPEG, which the names of pets say: left out", 1);
            return Ok(());
        }
        let shown = classes.shown(label.class);
        // A class's name may have a `/`, which is no part of a file's name.
        let name = shown.replace(['/', '\\'], "_");
        findings.loss("classes whose names are no names of files: renamed", usize::from(name != shown));
        // File systems may take letters of both cases as one.
        let number = self.counts.entry(name.to_lowercase()).or_default();
        *number += 1;
        let file = self.root.join(IMAGES).join(format!("{name}_{number}.jpg"));
        std::fs::write(&file, bytes).map_err(DatasetError::io(&file, "written"))
    }

    fn finish(&mut self, _: &Classes, _: &mut Findings) -> Result<Vec<PathBuf>, DatasetError> {
        Ok(vec![self.root.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pets_are_numbered_by_class_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PetsWriter::create(folder.path()).unwrap();
        let mut reading = Reading::default();
        for (class, bytes) in
            [("pug", "jpg"), ("Maine Coon", "jpg"), ("pug", "jpg"), ("pug", "png"), ("a/b", "jpg"), ("a_b", "jpg")]
        {
            let mut sample = Sample::at("any.jpg");
            sample.labels.push(Label { class: reading.classes.of_name(class), confidence: None });
            sample.encoded = Some(if bytes == "jpg" { vec![0xff, 0xd8, 0xff] } else { b"\x89PNG".to_vec() });
            writer.write(&sample, &reading.classes, &mut reading.findings).unwrap();
        }
        // A class's name is changed, and a picture is no JPEG.
        assert_eq!(reading.findings.losses().map(|(_, count)| count).sum::<u64>(), 2);
        let mut reading = Reading::default();
        let mut source = Folders::open(folder.path(), Naming::Pets, &Options::default(), &mut reading).unwrap();
        let names: Vec<String> =
            std::iter::from_fn(|| source.next(&mut reading).unwrap()).map(|sample| sample.name).collect();
        assert_eq!(names, ["Maine Coon_1.jpg", "a_b_1.jpg", "a_b_2.jpg", "pug_1.jpg", "pug_2.jpg"]);
    }

    #[test]
    fn other_files_are_passed_over_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("b")).unwrap();
        std::fs::create_dir(root.join("a")).unwrap();
        for name in ["b/1.jpg", "b/notes.txt", "a/2.PNG", "a/.hidden.jpg", "cat_1.jpg", "README"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        for (naming, names, count) in
            [(Naming::Folder, vec!["2.PNG", "1.jpg"], 1), (Naming::Pets, vec!["cat_1.jpg"], 3)]
        {
            let mut reading = Reading::default();
            let mut source = Folders::open(root, naming, &Options::default(), &mut reading).unwrap();
            let found: Vec<String> =
                std::iter::from_fn(|| source.next(&mut reading).unwrap()).map(|sample| sample.name).collect();
            assert_eq!(found, names);
            assert_eq!(reading.findings.losses().map(|(_, count)| count).sum::<u64>(), count);
        }
        assert!(Folders::open(&root.join("b"), Naming::Pets, &Options::default(), &mut Reading::default()).is_err());
    }

    #[test]
    fn the_rule_of_the_pets_is_that_of_its_regular_expression() {
        assert_eq!(pet("great_pyrenees_12.jpg"), Some("great_pyrenees"));
        // The dot of the expression stands for any letter.
        assert_eq!(pet("a_12xjpg"), Some("a"));
        for name in ["beagle.jpg", "beagle_1.png", "_1.jpg", "beagle_.jpg", "beagle_x.jpg", "jpg", "", "a_1.JPG"] {
            assert_eq!(pet(name), None, "{name}");
        }
    }
}
