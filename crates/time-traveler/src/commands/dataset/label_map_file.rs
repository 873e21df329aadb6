//! The label map beside a TFRecord.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dataset::Classes;
use dataset::formats::label_map::LabelMap;

use crate::escape::Shown;

/// `label_map.pbtxt` in the folder of a TFRecord. If there is one, its classes keep their numbers, since other records of the folder
/// may have been written with them.
pub(super) struct LabelMapFile {
    file: PathBuf,
    /// What it has now.
    known: Option<LabelMap>,
}

impl LabelMapFile {
    /// The label map in the folder of `out`, whose classes are put into an empty table.
    pub(super) fn beside(out: &Path, classes: &mut Classes) -> anyhow::Result<Self> {
        let file = out.with_file_name("label_map.pbtxt");
        let known = file.exists().then(|| LabelMap::open(&file)).transpose()?;
        if let Some(known) = &known {
            note!("{} is there: its classes keep their numbers", file.shown());
            known.name(classes);
        }
        Ok(Self { file, known })
    }

    /// The label map of a data set that is made, in place of one that is there.
    pub(super) fn new(out: &Path) -> Self {
        Self { file: out.with_file_name("label_map.pbtxt"), known: None }
    }

    /// The map with all classes of a table.
    ///
    /// # Errors
    /// A class has a number that another class of the file has.
    pub(super) fn with(&self, classes: &Classes) -> anyhow::Result<LabelMap> {
        let Some(known) = &self.known else { return Ok(LabelMap::of(classes)) };
        known.with(classes).with_context(|| {
            format!(
                "{} has other numbers for the same classes: another folder works, or without this file",
                self.file.shown()
            )
        })
    }

    /// Writes the map with all classes of a table. Returns the file.
    pub(super) fn write(&self, classes: &Classes) -> anyhow::Result<PathBuf> {
        let map = self.with(classes)?;
        // The file may have comments.
        if self.known.as_ref() != Some(&map) {
            std::fs::write(&self.file, map.text())
                .with_context(|| format!("{} cannot be written", self.file.shown()))?;
        }
        Ok(self.file.clone())
    }
}
