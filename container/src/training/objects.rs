//! Annotated pictures for a detector, and how good its detections are.

use std::path::Path;

use anyhow::{Context, bail};
use dataset::evaluation::coco::{Coco as Evaluated, Figures};
use dataset::evaluation::comparison::{BoundingBox, Comparison, Detection as Compared, Image, Truth};
use dataset::formats::coco::Coco;
use dataset::{ClassId, Options, Reading, Sample, Source};
use vision::faster_rcnn::FasterRcnn;
use vision::faster_rcnn::training::Annotated;
use vision::train::TrainError;

/// The most faults of a data set that are named.
const NAMED: usize = 5;

/// The pictures of one part of a data set.
#[derive(Debug)]
pub(super) struct Part {
    samples: Vec<(Sample, [usize; 2])>,
}

/// A data set for training: `train.json` and `val.json` in COCO's form, and the pictures in `train` and `val`.
#[derive(Debug)]
pub(super) struct Objects {
    /// The names of the classes, in the order of their numbers.
    pub(super) classes: Vec<String>,
    ids: Vec<ClassId>,
    /// To train with.
    pub(super) training: Part,
    /// To validate with.
    pub(super) validation: Part,
}

impl Objects {
    /// Reads the lists of a folder. Sizes that a list lacks are read from the pictures.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut reading = Reading::default();
        let mut part = |name: &str| part(folder, name, &mut reading);
        let (training, validation) = (part("train")?, part("val")?);
        if reading.findings.fault_count() > 0 {
            let faults = reading.findings.faults().iter().take(NAMED);
            let faults: Vec<String> =
                faults.map(|fault| format!("{}: {}", fault.file.display(), fault.reason)).collect();
            bail!("{} records of the data set cannot be read: {}", reading.findings.fault_count(), faults.join("; "));
        }
        let ids = reading.classes.in_order();
        let classes = ids.iter().map(|id| reading.classes.shown(*id).into_owned()).collect();
        Ok(Self { classes, ids, training, validation })
    }

    /// The pictures of a part with what trains: no crowds, no empty boxes, none that lies outside.
    pub(super) fn annotated(&self, part: &Part) -> Vec<Annotated> {
        let one = |(sample, size): &(Sample, [usize; 2])| {
            let [width, height] = size.map(|side| side as f64);
            let objects = sample.objects.iter().filter(|object| !object.flags.is_crowd);
            let inside = |object: &&dataset::Object| {
                let [left, top, right, bottom] = object.bounds.corners();
                right.min(width) > left.max(0.0) && bottom.min(height) > top.max(0.0)
            };
            let objects: Vec<_> = objects.filter(inside).collect();
            Annotated {
                file: sample.place.clone().into(),
                size: *size,
                boxes: objects.iter().map(|object| object.bounds.corners().map(|value| value as f32)).collect(),
                classes: objects.iter().map(|object| self.class(object.class)).collect(),
            }
        };
        part.samples.iter().map(one).collect()
    }

    fn class(&self, id: ClassId) -> usize {
        self.ids.iter().position(|other| *other == id).unwrap_or_default()
    }

    /// COCO's figures of a network on a part: of all classes together, and of each.
    pub(super) fn evaluate(&self, part: &Part, network: &FasterRcnn) -> anyhow::Result<(Figures, Vec<Figures>)> {
        let evaluated = Evaluated::evaluate(&self.compare(part, network)?);
        Ok((evaluated.figures, evaluated.classes))
    }

    /// What a network finds in the pictures of a part, beside the objects that are there.
    pub(super) fn compare(&self, part: &Part, network: &FasterRcnn) -> anyhow::Result<Comparison> {
        let images = part.samples.iter();
        let images = images.map(|(sample, _)| Image { name: sample.name.clone(), place: Some(sample.place.clone()) });
        let mut comparison = Comparison::new(images.collect(), self.classes.clone());
        for (image, (sample, size)) in part.samples.iter().enumerate() {
            for object in &sample.objects {
                let bounds = BoundingBox::from_corners(object.bounds.corners());
                comparison.push_truth(Truth {
                    image,
                    class: self.class(object.class),
                    bounds,
                    area: object.area.unwrap_or(bounds.area()),
                    crowd: object.flags.is_crowd,
                    difficult: false,
                })?;
            }
            let file = Path::new(&sample.place);
            let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            let picture = picture::decode(&bytes).with_context(|| format!("{} cannot be decoded", file.display()))?;
            let found = [picture.width() as usize, picture.height() as usize];
            if found != *size {
                return Err(TrainError::OtherSize { file: file.to_owned(), found, annotated: *size }.into());
            }
            for found in network.detect(&picture)? {
                let bounds = BoundingBox::from_corners(found.corners.map(f64::from));
                comparison.push_detection(Compared { image, class: found.class, bounds, score: found.score.into() })?;
            }
        }
        Ok(comparison)
    }
}

fn part(folder: &Path, name: &str, reading: &mut Reading) -> anyhow::Result<Part> {
    let list = folder.join(format!("{name}.json"));
    if !list.is_file() {
        bail!(
            "there is no {}: train.json and val.json in COCO's form would work, with their pictures in train and val",
            list.display()
        );
    }
    let options = Options { images: Some(folder.join(name).display().to_string()), ..Options::default() };
    let mut source = Coco::open(&list, &options, reading)?;
    let mut samples = Vec::new();
    while let Some(sample) = source.next(reading)? {
        let size = match sample.size {
            Some(size) => [size.width as usize, size.height as usize],
            None => {
                let bytes = std::fs::read(&sample.place).with_context(|| format!("{} cannot be read", sample.place))?;
                let size = picture::size(&bytes).with_context(|| format!("{} is no picture", sample.place))?;
                [size.0 as usize, size.1 as usize]
            }
        };
        samples.push((sample, size));
    }
    Ok(Part { samples })
}
