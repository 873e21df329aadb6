//! Data sets that are read one after the other.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, RgbImage};

use crate::formats::tfrecord;
use crate::{DatasetError, Format, Options, Pictures, Reading, Sample};

/// A data set to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The file or folder.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
}

/// Data sets that are read one after the other, with one table of classes.
pub struct Inputs<'a> {
    /// The data sets in order.
    pub inputs: &'a [Input],
    /// How they are read.
    pub options: &'a Options,
    /// Where pictures come from.
    pub pictures: &'a dyn Pictures,
}

impl Input {
    /// A data set whose name gives its format, unless one is given.
    ///
    /// # Errors
    /// [`DatasetError::Usage`] where the name does not give it.
    pub fn new(path: &Path, format: Option<Format>) -> Result<Self, DatasetError> {
        if !path.exists() && format.or_else(|| Format::of(path)) != Some(Format::TfRecord) {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(DatasetError::Io { path: path.to_owned(), action: "opened", source });
        }
        let format = format.or_else(|| Format::of(path)).ok_or_else(|| {
            let names: Vec<_> = Format::ALL.iter().map(|format| format.name()).collect();
            let path = path.display();
            DatasetError::Usage(format!("{path} does not tell its format: --from {} works", names.join(", --from ")))
        })?;
        Ok(Self { path: path.to_owned(), format })
    }

    /// The files that it is read from: the shards of a TFRecord. Missing ones are left to the reader.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let shards = (self.format == Format::TfRecord).then(|| tfrecord::files(&self.path).ok()).flatten();
        shards.unwrap_or_else(|| vec![self.path.clone()])
    }

    /// Whether its classes have names, and their numbers are known only when all names are.
    fn has_names_only(&self, options: &Options) -> bool {
        match self.format {
            Format::GroundTruth | Format::Coco | Format::CocoResults => false,
            // These list everything when they are opened.
            Format::Folders | Format::Pets => true,
            Format::TfRecord => options.label_map.is_none(),
            Format::Voc | Format::PlainText | Format::OpenImages => true,
        }
    }
}

/// Stands for every picture while only classes are read, so that none is fetched for its size.
struct AnySize;

impl Pictures for AnySize {
    fn bytes(&self, place: &str) -> Result<Vec<u8>, DatasetError> {
        let mut png = Cursor::new(Vec::new());
        let written = RgbImage::new(1, 1).write_to(&mut png, ImageFormat::Png);
        let reason =
            |error: image::ImageError| DatasetError::Picture { place: place.to_owned(), reason: error.to_string() };
        written.map(|()| png.into_inner()).map_err(reason)
    }
}

impl Inputs<'_> {
    /// Hands every picture to `each`, with the place of its data set in `inputs`.
    ///
    /// # Errors
    /// Those of the readers, and of `each`.
    pub fn for_each(
        &self,
        reading: &mut Reading,
        mut each: impl FnMut(usize, Sample, &mut Reading) -> Result<(), DatasetError>,
    ) -> Result<(), DatasetError> {
        let mut before = None;
        for (index, input) in self.inputs.iter().enumerate() {
            // Manifests of Ground Truth have the numbers of one list of labels, whose names may change.
            if before != Some(Format::GroundTruth) || input.format != Format::GroundTruth {
                // Classes that `reading` had before are the first data set.
                reading.classes.begin(index + 1);
            }
            before = Some(input.format);
            let mut source = input.format.open(&input.path, self.options, self.pictures, reading)?;
            while let Some(sample) = source.next(reading)? {
                each(index, sample, reading)?;
            }
        }
        Ok(())
    }

    /// Puts all classes into `reading` if they must be known before a picture can be written with their numbers. That reads everything
    /// once; faults are left to the second time.
    ///
    /// # Errors
    /// Those of the readers.
    pub fn learn_classes(&self, reading: &mut Reading) -> Result<(), DatasetError> {
        // Several data sets, or those and classes that are known, may give one number to several classes.
        let are_several = self.inputs.len() > 1 || !reading.classes.is_empty();
        if are_several || self.inputs.iter().any(|input| input.has_names_only(self.options)) {
            reading.classes.begin(0);
            let mut first = Reading { classes: reading.classes.clone(), ..Reading::default() };
            let inputs = Inputs { pictures: &AnySize, ..*self };
            inputs.for_each(&mut first, |_, _, _| Ok(()))?;
            reading.classes = first.classes;
        }
        Ok(())
    }
}
