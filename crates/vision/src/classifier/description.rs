//! What a classifier's checkpoint does not contain: its classes, and how pictures become its inputs.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use picture::RgbImage;
use serde_json::{Value, json};

use super::export::{self, ExportError};
use super::{IMAGENET_DEVIATIONS, IMAGENET_MEANS, Pixels, Transform};

/// The name of the description in a model folder.
pub const DESCRIPTION: &str = "classes.json";
/// The name of fastai's description there.
pub const EXPORT: &str = "export.pkl";
/// The side of inputs, where a description has none.
const IMAGE_SIZE: usize = 224;
/// The sides of inputs.
const IMAGE_SIZES: std::ops::RangeInclusive<usize> = 16..=1024;
/// The largest description that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// The classes of a model, and how pictures become its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Their names, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// The side of inputs in pixels, 16 to 1024.
    pub image_size: usize,
    /// What is subtracted from each channel of 0 to 1, red first.
    pub means: [f32; 3],
    /// What each channel is divided by afterwards.
    pub deviations: [f32; 3],
}

/// Why a model's description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// There is none.
    #[error("the model folder {} has neither {DESCRIPTION} nor fastai's {EXPORT}: {DESCRIPTION} with [\"first class\", ...] would work", folder.display())]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too large.
    #[error("{} has more than {limit} bytes: a description of classes has less", file.display())]
    Large {
        /// The file.
        file: PathBuf,
        /// The most bytes.
        limit: u64,
    },
    /// It is no JSON.
    #[error("{} is no JSON", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An export cannot be used.
    #[error("{} cannot be used", file.display())]
    Export {
        /// The file.
        file: PathBuf,
        /// Why.
        source: ExportError,
    },
    /// A member has a value that cannot be used.
    #[error("{} cannot be used: {member} {found}, and {needed} would work", file.display())]
    Member {
        /// The file.
        file: PathBuf,
        /// The member.
        member: &'static str,
        /// The value, shortened.
        found: String,
        /// What would work.
        needed: &'static str,
    },
}

impl Description {
    /// For inputs normalized by the colours of ImageNet.
    pub fn of_imagenet(classes: Vec<String>, image_size: usize) -> Self {
        Self { classes, image_size, means: IMAGENET_MEANS, deviations: IMAGENET_DEVIATIONS }
    }

    /// The input of a picture, values of 0 to 1: its shorter side resized, and the middle cropped.
    pub fn input(&self, picture: &RgbImage) -> Pixels {
        Transform::default().apply(picture, self.image_size)
    }

    /// Reads `classes.json` of a model folder, or fastai's `export.pkl`, in which nothing is run.
    ///
    /// # Errors
    /// [`DescriptionError`].
    pub fn read(folder: &Path) -> Result<Self, DescriptionError> {
        let (json, export) = (folder.join(DESCRIPTION), folder.join(EXPORT));
        let description = if json.exists() {
            Self::of_json(&limited(&json, MAX_BYTES)?, &json)?
        } else if export.exists() {
            let bytes = limited(&export, export::MAX_BYTES)?;
            export::read(&bytes).map_err(|source| DescriptionError::Export { file: export.clone(), source })?
        } else {
            return Err(DescriptionError::None { folder: folder.to_owned() });
        };
        let file = if json.exists() { json } else { export };
        description.checked(&file)
    }

    /// As `classes.json` has it.
    pub fn to_json(&self) -> String {
        let Self { classes, image_size, means, deviations } = self;
        let description = json!({"classes": classes, "image_size": image_size, "mean": means, "std": deviations});
        format!("{description:#}\n")
    }

    /// Of `{"classes": [...], "image_size": 224, "mean": [...], "std": [...]}`, of which only the classes are needed, or of the
    /// list of classes.
    fn of_json(bytes: &[u8], file: &Path) -> Result<Self, DescriptionError> {
        let source = |source| DescriptionError::Json { file: file.to_owned(), source };
        let value: Value = serde_json::from_slice(bytes).map_err(source)?;
        let member = |member: &'static str, value: &Value, needed: &'static str| DescriptionError::Member {
            file: file.to_owned(),
            member,
            found: format!("is {}", shown(value)),
            needed,
        };
        let classes = if value.is_array() { &value } else { &value["classes"] };
        let names = || classes.as_array()?.iter().map(|name| name.as_str().map(ToOwned::to_owned)).collect();
        let names: Option<Vec<String>> = names();
        let classes = names.ok_or_else(|| member("classes", classes, "a list of names"))?;
        let image_size = match &value["image_size"] {
            Value::Null => IMAGE_SIZE,
            size => size
                .as_u64()
                .and_then(|size| usize::try_from(size).ok())
                .ok_or_else(|| member("image_size", size, "a number of pixels"))?,
        };
        let three = |name: &'static str, default: [f32; 3]| {
            let numbers = match &value[name] {
                Value::Null => return Ok(default),
                numbers => numbers,
            };
            let three = || -> Option<[f32; 3]> {
                let numbers = numbers.as_array()?.iter().map(|number| number.as_f64().map(|number| number as f32));
                numbers.collect::<Option<Vec<f32>>>()?.try_into().ok()
            };
            three().ok_or_else(|| member(name, numbers, "a list of three numbers"))
        };
        Ok(Self {
            classes,
            image_size,
            means: three("mean", IMAGENET_MEANS)?,
            deviations: three("std", IMAGENET_DEVIATIONS)?,
        })
    }

    fn checked(self, file: &Path) -> Result<Self, DescriptionError> {
        let member =
            |member, found, needed| Err(DescriptionError::Member { file: file.to_owned(), member, found, needed });
        if self.classes.is_empty() {
            return member("classes", "is empty".to_owned(), "at least one name");
        }
        if !IMAGE_SIZES.contains(&self.image_size) {
            return member("image_size", format!("is {}", self.image_size), "16 to 1024 pixels");
        }
        if !self.deviations.iter().all(|deviation| *deviation > 0.0 && deviation.is_finite()) {
            return member("std", format!("is {:?}", self.deviations), "three numbers above 0");
        }
        if !self.means.iter().all(|mean| mean.is_finite()) {
            return member("mean", format!("is {:?}", self.means), "three numbers");
        }
        Ok(self)
    }
}

fn limited(file: &Path, limit: u64) -> Result<Vec<u8>, DescriptionError> {
    let unreadable = |source| DescriptionError::Unreadable { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(file).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(DescriptionError::Large { file: file.to_owned(), limit });
    }
    Ok(bytes)
}

/// The beginning of a value.
fn shown(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn folder(name: &str, content: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), content).unwrap();
        folder
    }

    #[test]
    fn a_description_is_read_as_it_is_written() {
        let description = Description {
            classes: vec!["Bengal".to_owned(), "pug".to_owned()],
            image_size: 96,
            means: [0.25; 3],
            deviations: [0.5; 3],
        };
        let written = folder(DESCRIPTION, description.to_json().as_bytes());
        assert_eq!(Description::read(written.path()).unwrap(), description);
        let names = folder(DESCRIPTION, br#"["a", "b"]"#);
        let expected = Description::of_imagenet(vec!["a".to_owned(), "b".to_owned()], 224);
        assert_eq!(Description::read(names.path()).unwrap(), expected);
        // The JSON counts where both are there.
        std::fs::write(names.path().join(EXPORT), "no pickle").unwrap();
        assert_eq!(Description::read(names.path()).unwrap(), expected);
        let export = folder(EXPORT, &golden::bytes("classifier/export.pkl"));
        assert_eq!(Description::read(export.path()).unwrap().image_size, 64);
    }

    #[test]
    fn others_are_refused_with_their_file_and_member() {
        for (content, message) in [
            ("{", "is no JSON"),
            ("[]", "classes is empty"),
            ("7", "classes is null, and a list of names would work"),
            (r#"["a", 7]"#, "classes is [\"a\",7]"),
            (r#"{"classes": ["a"], "image_size": "224"}"#, "image_size is \"224\""),
            (r#"{"classes": ["a"], "image_size": 9999999}"#, "image_size is 9999999, and 16 to 1024 pixels would work"),
            (r#"{"classes": ["a"], "mean": [1, 2]}"#, "mean is [1,2], and a list of three numbers would work"),
            (r#"{"classes": ["a"], "std": [1, 0, 1]}"#, "std is [1.0, 0.0, 1.0]"),
        ] {
            let error = Description::read(folder(DESCRIPTION, content.as_bytes()).path()).unwrap_err().to_string();
            assert!(error.contains("classes.json") && error.contains(message), "{error}");
        }
        let error = Description::read(tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
        assert!(error.contains("neither classes.json nor fastai's export.pkl"), "{error}");
        let large = folder(EXPORT, &vec![b'N'; (1 << 20) + 1]);
        assert!(matches!(Description::read(large.path()).unwrap_err(), DescriptionError::Large { .. }));
    }
}
