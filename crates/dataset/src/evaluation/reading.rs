//! Reads ground truth and detections into a [`Comparison`].

use std::collections::HashMap;
use std::path::Path;

use crate::annotations::base_name;
use crate::formats::stem;
use crate::{Classes, DatasetError, Findings, Format, Object, Options, Pictures, Reading, Sample};

use super::Style;
use super::comparison::{BoundingBox, Comparison, Detection, Image, Truth};

/// A data set and its format.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The file or folder.
    pub path: &'a Path,
    /// How it is read.
    pub format: Format,
}

/// A comparison, and what was wrong with its files.
#[derive(Debug)]
pub struct Read {
    /// What can be compared.
    pub comparison: Comparison,
    /// What was left out, with the file and the place in it.
    pub findings: Findings,
}

/// Pictures of the ground truth, which detections name by id or by name.
#[derive(Default)]
struct Index {
    by_id: HashMap<i64, usize>,
    by_name: HashMap<String, usize>,
    /// Names without folders; `None` where two pictures have one.
    by_base_name: HashMap<String, Option<usize>>,
}

impl Index {
    fn of(samples: &[Sample]) -> Self {
        let mut index = Self::default();
        for (place, sample) in samples.iter().enumerate() {
            if let Some(id) = sample.id {
                index.by_id.entry(id).or_insert(place);
            }
            index.by_name.entry(stem(&sample.name).to_owned()).or_insert(place);
            let base_name = stem(base_name(&sample.name)).to_owned();
            index.by_base_name.entry(base_name).and_modify(|known| *known = None).or_insert(Some(place));
        }
        index
    }

    /// The picture that a sample of detections means. Only results of COCO name pictures by the ground truth's ids.
    fn find(&self, sample: &Sample, format: Format) -> Option<usize> {
        if format == Format::CocoResults && !self.by_id.is_empty() {
            return sample.id.and_then(|id| self.by_id.get(&id)).copied();
        }
        let name = stem(&sample.name);
        self.by_name.get(name).copied().or_else(|| self.by_base_name.get(stem(base_name(name))).copied().flatten())
    }
}

/// Reads both sides. What cannot be compared is named in the findings, and the rest is kept.
///
/// `images` is the folder of pictures that the ground truth names without one.
///
/// # Errors
/// A file that cannot be read, or is not of its format at all.
pub fn read(
    truth: Part<'_>,
    detections: Part<'_>,
    style: Style,
    images: Option<&str>,
    pictures: &dyn Pictures,
) -> Result<Read, DatasetError> {
    let mut reading = Reading::default();
    let options = Options { images: images.map(str::to_owned), ..Options::default() };
    let mut samples = samples(truth, &options, pictures, &mut reading)?;
    // COCO takes equal scores in the order of ids.
    if samples.iter().all(|sample| sample.id.is_some()) {
        samples.sort_by_key(|sample| sample.id);
    }
    let known_classes = reading.classes.len();
    // Only results of COCO mean the ground truth's numbers. Others may name their own.
    reading.classes.begin(1);
    let results = self::samples(detections, &Options::default(), pictures, &mut reading)?;
    let Reading { classes, findings } = reading;
    let named = |sample: &Sample| Image { name: sample.name.clone(), place: Some(sample.place.clone()) };
    let (order, names) = class_order(&classes, known_classes, detections.format);
    let mut reader = Reader {
        comparison: Comparison::new(samples.iter().map(named).collect(), names),
        findings,
        order,
        classes: &classes,
        style,
    };
    for (image, sample) in samples.iter().enumerate() {
        for object in &sample.objects {
            reader.add_truth(truth, image, &sample.name, object);
        }
    }
    let index = Index::of(&samples);
    for sample in &results {
        let Some(image) = index.find(sample, detections.format) else {
            let count = sample.objects.len();
            let many = if count == 1 { "1 detection".to_owned() } else { format!("{count} detections") };
            let reason = format!("{many} of the picture {}, which the ground truth does not have", sample.name);
            if count > 0 {
                reader.findings.fault(detections.path, None, reason);
            }
            continue;
        };
        for object in &sample.objects {
            reader.add_detection(detections, image, &sample.name, object);
        }
    }
    Ok(Read { comparison: reader.comparison, findings: reader.findings })
}

fn samples(
    part: Part<'_>,
    options: &Options,
    pictures: &dyn Pictures,
    reading: &mut Reading,
) -> Result<Vec<Sample>, DatasetError> {
    let mut source = part.format.open(part.path, options, pictures, reading)?;
    let mut samples = Vec::new();
    while let Some(mut sample) = source.next(reading)? {
        // A TFRecord holds its pictures, which would fill the memory.
        sample.encoded = None;
        samples.push(sample);
    }
    Ok(samples)
}

/// The place of each class in the comparison, and the names there: in the order of COCO's ids, or of names if a class has none.
/// A class without a name is not known to the ground truth, and `None`.
fn class_order(classes: &Classes, known: usize, detections: Format) -> (Vec<Option<usize>>, Vec<String>) {
    let mut kept: Vec<_> = classes
        .iter()
        .filter(|(id, class)| class.name.is_some() || (detections != Format::CocoResults && (id.0 as usize) < known))
        .collect();
    if kept.iter().all(|(_, class)| class.number.is_some()) {
        kept.sort_by_key(|(_, class)| class.number);
    } else {
        kept.sort_by_key(|(id, _)| classes.shown(*id));
    }
    let mut order = vec![None; classes.len()];
    for (place, (id, _)) in kept.iter().enumerate() {
        order[id.0 as usize] = Some(place);
    }
    (order, kept.iter().map(|(id, _)| classes.shown(*id).into_owned()).collect())
}

struct Reader<'a> {
    comparison: Comparison,
    findings: Findings,
    order: Vec<Option<usize>>,
    classes: &'a Classes,
    style: Style,
}

impl Reader<'_> {
    fn add_truth(&mut self, part: Part<'_>, image: usize, name: &str, object: &Object) {
        let added = self.class(object).and_then(|class| {
            let truth = Truth {
                image,
                class,
                bounds: self.bounds(object, part.format),
                area: object.area.unwrap_or_else(|| object.bounds.area()),
                crowd: object.flags.is_crowd,
                difficult: object.flags.is_difficult,
            };
            self.comparison.push_truth(truth).map_err(|error| error.to_string())
        });
        if let Err(reason) = added {
            self.findings.fault(part.path, None, format!("an object of the picture {name} is left out: {reason}"));
        }
    }

    fn add_detection(&mut self, part: Part<'_>, image: usize, name: &str, object: &Object) {
        let added = self.class(object).and_then(|class| {
            let score = object.confidence.ok_or("it has no score")?;
            let detection = Detection { image, class, bounds: self.bounds(object, part.format), score };
            self.comparison.push_detection(detection).map_err(|error| error.to_string())
        });
        if let Err(reason) = added {
            self.findings.fault(part.path, None, format!("a detection of the picture {name} is left out: {reason}"));
        }
    }

    fn class(&self, object: &Object) -> Result<usize, String> {
        let class = self.order.get(object.class.0 as usize).copied().flatten();
        class.ok_or_else(|| match self.classes.get(object.class).and_then(|class| class.number) {
            // The model of annotations counts from 0.
            Some(number) => format!("the ground truth lists no category {}", number + 1),
            None => "the ground truth does not list its class".to_owned(),
        })
    }

    /// The box. In VOC's style its edges are the numbers of VOC's documents, whose first pixel is 1.
    fn bounds(&self, object: &Object, format: Format) -> BoundingBox {
        let bounds = object.bounds;
        let [left, top, right, bottom] = bounds.corners();
        match self.style {
            Style::Voc if format == Format::Voc => BoundingBox::from_corners([left + 1.0, top + 1.0, right, bottom]),
            Style::Voc | Style::Coco => BoundingBox::from_size([bounds.left, bounds.top, bounds.width, bounds.height]),
        }
    }
}
