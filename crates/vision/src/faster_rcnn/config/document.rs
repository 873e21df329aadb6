//! A configuration as its keys and values: Detectron2's defaults, with files and options over them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::ConfigError;
use super::value::Value;

/// The key of a file that another one is based on.
const BASE: &str = "_BASE_";
/// The largest file, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// The most files below one.
const MOST_BASES: usize = 8;
/// Sections of other networks and of data sets. Whatever they hold changes nothing here.
const OTHERS: [&str; 9] = [
    "DATASETS",
    "GLOBAL",
    "MODEL.PANOPTIC_FPN",
    "MODEL.RETINANET",
    "MODEL.ROI_BOX_CASCADE_HEAD",
    "MODEL.ROI_KEYPOINT_HEAD",
    "MODEL.ROI_MASK_HEAD",
    "MODEL.SEM_SEG_HEAD",
    // Written by training scripts: the place of the data.
    "DATA",
];

/// A whole configuration: every key has a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Document(BTreeMap<String, Value>);

impl Default for Document {
    /// Detectron2's defaults.
    fn default() -> Self {
        match Value::from_yaml(include_str!("defaults.yaml")) {
            Ok(Value::Section(values)) => Self(values),
            other => panic!("the defaults are a section: {other:?}"),
        }
    }
}

impl Document {
    /// The defaults with what the networks with a feature pyramid have in common.
    pub fn pyramid() -> Self {
        let mut document = Self::default();
        let values = Value::from_yaml(include_str!("pyramid.yaml")).expect("a file of this program");
        document.merge(values).expect("a file of this program has known keys");
        document
    }

    /// The configuration of a network of the model zoo, by its name there.
    pub fn published(name: &str) -> Option<Self> {
        let (layers, schedule) = name
            .strip_prefix("COCO-Detection/faster_rcnn_R_")?
            .strip_suffix("x.yaml")?
            .split_once("_FPN_")
            .filter(|(layers, schedule)| ["50", "101"].contains(layers) && ["1", "3"].contains(schedule))?;
        let mut document = Self::pyramid();
        let weights = format!("detectron2://ImageNetPretrained/MSRA/R-{layers}.pkl");
        let options = ["MODEL.RESNETS.DEPTH", layers, "MODEL.WEIGHTS", &weights];
        document.merge_options(options).expect("known keys");
        if schedule == "3" {
            let options = ["SOLVER.STEPS", "(210000,250000)", "SOLVER.MAX_ITER", "270000"];
            document.merge_options(options).expect("known keys");
        }
        Some(document)
    }

    /// Puts the values of a file over these, those of the files that it is based on first.
    ///
    /// # Errors
    /// [`ConfigError`]: a file cannot be read, or has a key that Detectron2 does not have.
    pub fn merge_file(&mut self, file: &Path) -> Result<(), ConfigError> {
        self.merge_based(file, 0)
    }

    fn merge_based(&mut self, file: &Path, depth: usize) -> Result<(), ConfigError> {
        if depth > MOST_BASES {
            return Err(ConfigError::Bases { file: file.to_owned(), limit: MOST_BASES });
        }
        let mut value = read(file)?;
        if let Value::Section(values) = &mut value
            && let Some(base) = values.remove(BASE)
        {
            let Value::Text(base) = base else { return Err(unusable(BASE, &base, "the path of a file")) };
            if base.contains("://") {
                return Err(unusable(BASE, &Value::Text(base), "the path of a file"));
            }
            self.merge_based(&file.parent().unwrap_or(Path::new(".")).join(base), depth + 1)?;
        }
        self.merge(value)
    }

    /// Puts values over these.
    ///
    /// # Errors
    /// [`ConfigError`]: a key that Detectron2 does not have, or a value in place of a section.
    pub fn merge(&mut self, value: Value) -> Result<(), ConfigError> {
        match value {
            Value::Section(values) => merge(&mut self.0, values, ""),
            Value::Nothing => Ok(()),
            other => Err(unusable("the document", &other, "sections such as MODEL")),
        }
    }

    /// Puts options over these: keys such as `MODEL.RESNETS.DEPTH` and values by turns, the latter Python literals.
    ///
    /// # Errors
    /// [`ConfigError`]: a key without a value, or one that Detectron2 does not have.
    pub fn merge_options<'a>(&mut self, options: impl IntoIterator<Item = &'a str>) -> Result<(), ConfigError> {
        let mut options = options.into_iter();
        while let Some(path) = options.next() {
            let Some(value) = options.next() else { return Err(ConfigError::Pairs { key: path.to_owned() }) };
            let nested = |value, key: &str| Value::Section([(key.to_owned(), value)].into());
            self.merge(path.rsplit('.').fold(Value::from_literal(value), nested))?;
        }
        Ok(())
    }

    /// The value of a key such as `MODEL.RESNETS.DEPTH`.
    ///
    /// # Panics
    /// If Detectron2 has no such key.
    pub fn get(&self, path: &str) -> &Value {
        let (sections, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut values = &self.0;
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            match values.get(section) {
                Some(Value::Section(inner)) => values = inner,
                _ => panic!("there is a section {section} in {path}"),
            }
        }
        values.get(key).unwrap_or_else(|| panic!("there is a key {path}"))
    }

    /// As Detectron2 writes it beside a trained model.
    pub fn to_yaml(&self) -> String {
        Value::Section(self.0.clone()).to_yaml()
    }
}

/// A value that cannot be used.
pub(super) fn unusable(path: &str, found: &Value, needed: &str) -> ConfigError {
    ConfigError::Value { path: path.to_owned(), found: found.to_string(), needed: needed.to_owned() }
}

fn read(file: &Path) -> Result<Value, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
    let mut text = String::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(ConfigError::Large { file: file.to_owned(), limit: MAX_BYTES });
    }
    Value::from_yaml(&text).map_err(|source| ConfigError::Yaml { file: file.to_owned(), source })
}

fn merge(
    known: &mut BTreeMap<String, Value>,
    values: BTreeMap<String, Value>,
    section: &str,
) -> Result<(), ConfigError> {
    for (key, value) in values {
        let path = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
        match (known.get_mut(&key), value) {
            _ if OTHERS.contains(&path.as_str()) => {}
            (None, _) => return Err(ConfigError::Unknown { path }),
            (Some(Value::Section(inner)), Value::Section(values)) => merge(inner, values, &path)?,
            (Some(Value::Section(_)), other) => return Err(unusable(&path, &other, "a section")),
            (Some(_), Value::Section(values)) => {
                return Err(unusable(&path, &Value::Section(values), "a value"));
            }
            (Some(place), value) => *place = value,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    #[test]
    fn a_file_lies_over_those_that_it_is_based_on() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        written(folder, "base.yaml", "MODEL:\n  MASK_ON: true\n  RESNETS: {DEPTH: 50, NUM_GROUPS: 2}\n");
        let file = written(
            folder,
            "other.yaml",
            "_BASE_: \"base.yaml\"\nMODEL: {RESNETS: {DEPTH: 101}}\nDATASETS:\n  TRAIN: (\"a\",)\n",
        );
        let mut document = Document::pyramid();
        document.merge_file(&file).unwrap();
        document.merge_options("SOLVER.STEPS (15,) MODEL.RESNETS.NUM_GROUPS 4".split(' ')).unwrap();
        assert_eq!(*document.get("MODEL.RESNETS.DEPTH"), Value::Whole(101));
        assert_eq!(*document.get("MODEL.RESNETS.NUM_GROUPS"), Value::Whole(4));
        assert_eq!(*document.get("MODEL.MASK_ON"), Value::Bool(true));
        assert_eq!(document.get("SOLVER.STEPS").to_string(), "[15]");
        let again = written(folder, "again.yaml", &document.to_yaml());
        let mut other = Document::default();
        other.merge_file(&again).unwrap();
        assert_eq!(other, document);
    }

    #[test]
    fn what_cannot_be_merged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |text: &str| {
            let file = written(folder.path(), "loop.yaml", text);
            Document::default().merge_file(&file).unwrap_err().to_string()
        };
        assert_eq!(message("MODEL: {RESNET: {}}"), "MODEL.RESNET is no key of Detectron2's configuration");
        assert_eq!(message("MODEL: 1"), "MODEL is 1: a section would work");
        assert_eq!(message("MODEL: {MASK_ON: {A: 1}}"), "MODEL.MASK_ON is a section: a value would work");
        assert_eq!(message("[1]"), "the document is [1]: sections such as MODEL would work");
        assert!(message("_BASE_: loop.yaml").contains("may be based on itself"));
        assert!(message("_BASE_: s3://a/b.yaml").starts_with("_BASE_ is 's3://a/b.yaml': the path"));
        assert!(message("_BASE_: absent.yaml").contains("absent.yaml cannot be read"));
        assert!(message(&" ".repeat(1 << 21)).contains("more than 1048576 bytes"));
        let mut document = Document::default();
        let error = document.merge_options(["MODEL.MASK_ON"]).unwrap_err().to_string();
        assert!(error.contains("the key MODEL.MASK_ON without a value"), "{error}");
        assert!(document.merge_options(["A.B", "1"]).unwrap_err().to_string().starts_with("A is no key"));
    }
}
