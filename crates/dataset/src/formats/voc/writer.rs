//! Writes documents.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::annotations::Sample;
use crate::formats::file_names::FileNames;
use crate::formats::losses::Holds;
use crate::formats::number::Number;
use crate::{Classes, DatasetError, Findings, Sink};

const HOLDS: Holds = Holds {
    objects: true,
    difficult: true,
    truncated: true,
    occluded: true,
    labels: false,
    confidences: false,
    crowds: false,
    depictions: false,
    areas: false,
    weights: false,
    jobs: false,
    classes_without_name: false,
};

/// Writes the documents of Pascal VOC into `Annotations`.
pub struct VocWriter {
    folder: PathBuf,
    names: FileNames,
}

impl VocWriter {
    /// Makes the folder.
    ///
    /// # Errors
    /// [`DatasetError::Io`]
    pub fn create(folder: &Path) -> Result<Self, DatasetError> {
        let folder = folder.join("Annotations");
        std::fs::create_dir_all(&folder).map_err(DatasetError::io(&folder, "made"))?;
        Ok(Self { folder, names: FileNames::default() })
    }
}

impl Sink for VocWriter {
    fn needs_size(&self) -> bool {
        true
    }

    fn write(&mut self, sample: &Sample, classes: &Classes, findings: &mut Findings) -> Result<(), DatasetError> {
        HOLDS.note(sample, classes, findings);
        let file = self.folder.join(format!("{}.xml", self.names.stem_of(&sample.name)));
        std::fs::write(&file, document(sample, classes)).map_err(DatasetError::io(&file, "written"))
    }

    fn finish(&mut self, _: &Classes, _: &mut Findings) -> Result<Vec<PathBuf>, DatasetError> {
        Ok(vec![self.folder.clone()])
    }
}

fn document(sample: &Sample, classes: &Classes) -> String {
    let mut text = format!("<annotation>\n  <filename>{}</filename>\n", escaped(&sample.name));
    // Writing to a string cannot fail.
    if let Some(size) = sample.size {
        let _ = write!(
            text,
            "  <size>\n    <width>{}</width>\n    <height>{}</height>\n    <depth>{}</depth>\n  </size>\n",
            size.width, size.height, size.depth
        );
    }
    text.push_str("  <segmented>0</segmented>\n");
    for object in &sample.objects {
        let [left, top, right, bottom] = object.bounds.corners();
        let edges = [left + 1.0, top + 1.0, right, bottom].map(Number);
        let flags = object.flags;
        let _ = write!(
            text,
            "  <object>\n    <name>{}</name>\n    <pose>Unspecified</pose>\n    <truncated>{}</truncated>\n    \
             <occluded>{}</occluded>\n    <difficult>{}</difficult>\n    <bndbox>\n      <xmin>{}</xmin>\n      \
             <ymin>{}</ymin>\n      <xmax>{}</xmax>\n      <ymax>{}</ymax>\n    </bndbox>\n  </object>\n",
            escaped(&classes.shown(object.class)),
            u8::from(flags.is_truncated),
            u8::from(flags.is_occluded),
            u8::from(flags.is_difficult),
            edges[0],
            edges[1],
            edges[2],
            edges[3]
        );
    }
    text.push_str("</annotation>\n");
    text
}

/// Text as XML. Control characters, which XML cannot hold, become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
