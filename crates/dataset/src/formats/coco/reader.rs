//! Reads a detection file.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::table::{self, Image, Row, Table};
use crate::annotations::{Sample, Size};
use crate::formats::source::folder_of;
use crate::{DatasetError, Options, Reading, Source};

/// Reads a COCO detection file: its lists are read at once, since annotations may come before their pictures.
pub struct Coco {
    file: PathBuf,
    options: Options,
    images: std::vec::IntoIter<Image>,
    /// Annotations with the place of their picture, in the order of pictures.
    rows: std::iter::Peekable<std::vec::IntoIter<(u32, Row)>>,
    place: u32,
}

impl Coco {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DatasetError::Io`], and [`DatasetError::Refused`] for what is no COCO file.
    pub fn open(file: &Path, options: &Options, reading: &mut Reading) -> Result<Self, DatasetError> {
        Self::read(file, table::open(file)?, options, reading)
    }

    /// Reads a file of this name from anywhere.
    ///
    /// # Errors
    /// Those of [`Coco::open`].
    pub fn read(file: &Path, bytes: impl Read, options: &Options, reading: &mut Reading) -> Result<Self, DatasetError> {
        let mut table = Table::parse(file, bytes, reading)?;
        let places = table.by_id(file, reading);
        let mut rows = Vec::with_capacity(table.rows.len());
        let mut nameless = 0;
        for row in std::mem::take(&mut table.rows) {
            let named = reading.classes.get(row.object.class).is_some_and(|class| class.name.is_some());
            nameless += usize::from(!named);
            match places.get(&row.image_id) {
                Some(place) => rows.push((*place, row)),
                None => {
                    let reason = format!("an annotation is of the picture {}, which is not listed", row.image_id);
                    reading.findings.fault(file, None, reason);
                }
            }
        }
        reading.findings.loss("annotations of a category that is not listed: kept without a name", nameless);
        rows.sort_by_key(|(place, _)| *place);
        let (images, rows) = (table.images.into_iter(), rows.into_iter().peekable());
        Ok(Self { file: file.to_owned(), options: options.clone(), images, rows, place: 0 })
    }
}

impl Source for Coco {
    fn next(&mut self, _: &mut Reading) -> Result<Option<Sample>, DatasetError> {
        let Some(image) = self.images.next() else { return Ok(None) };
        let size = (image.width > 0 && image.height > 0).then_some(Size {
            width: image.width,
            height: image.height,
            depth: 3,
        });
        let mut sample = Sample {
            place: self.options.place(folder_of(&self.file), &image.file_name),
            name: image.file_name,
            size,
            is_annotated: true,
            id: Some(image.id),
            ..Sample::default()
        };
        while let Some((_, row)) = self.rows.next_if(|(place, _)| *place == self.place) {
            sample.objects.push(row.object);
        }
        self.place += 1;
        Ok(Some(sample))
    }
}
