//! Average precision as PASCAL VOC defines it since 2010, and the log-average miss rate, as the program mAP of João Cartucho (commit
//! 3605865) computes both. Its report can be written byte for byte.

use std::fmt::Write;

use super::comparison::{BoundingBox, Comparison, Truth};
use super::outcome::{Outcome, Outcomes};

/// The least overlap of a hit.
pub const LEAST_OVERLAP: f64 = 0.5;

/// The figures of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct VocClass {
    /// Objects that count.
    pub objects: usize,
    /// Pictures with such objects.
    pub images: usize,
    /// All detections, those of difficult objects too.
    pub detections: usize,
    /// Detections that are an object.
    pub hits: usize,
    /// `None` without objects that count.
    pub curve: Option<VocCurve>,
}

/// Precision and recall of a class, whose detections are taken in descending order of score.
#[derive(Debug, Clone, PartialEq)]
pub struct VocCurve {
    /// After each detection, 0 to 1.
    pub precision: Vec<f64>,
    /// After each detection, 0 to 1.
    pub recall: Vec<f64>,
    /// Average precision: the area under the curve, 0 to 1.
    pub ap: f64,
    /// The mean miss rate in logarithms, 0 to 1. The reference takes `1 - precision` in place of false detections per picture, and
    /// 0 for a class without detections.
    pub log_average_miss_rate: f64,
}

/// VOC's figures of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Voc {
    /// The mean average precision of the classes that have objects, 0 to 1. `None` without such a class.
    pub mean_ap: Option<f64>,
    /// In the comparison's order.
    pub classes: Vec<VocClass>,
    /// What became of each detection.
    pub outcomes: Outcomes,
}

impl Voc {
    /// Compares detections with the ground truth.
    #[must_use]
    pub fn evaluate(comparison: &Comparison) -> Self {
        let mut outcomes = vec![Outcome::False; comparison.detections().len()];
        let mut order: Vec<usize> = (0..comparison.detections().len()).collect();
        order.sort_by(|&one, &other| {
            let (one, other) = (&comparison.detections()[one], &comparison.detections()[other]);
            let by_score = other.score.partial_cmp(&one.score).unwrap_or(std::cmp::Ordering::Equal);
            one.class.cmp(&other.class).then(by_score).then(one.image.cmp(&other.image))
        });
        let objects = ByPlace::of(comparison);
        let mut taken = vec![false; comparison.truths().len()];
        let mut curves = vec![(Vec::new(), Vec::new()); comparison.classes().len()];
        let mut classes: Vec<VocClass> =
            (0..comparison.classes().len()).map(|class| objects.class(comparison, class)).collect();
        let (mut hits, mut false_ones, mut class_before) = (0_usize, 0_usize, None);
        for index in order {
            let detection = &comparison.detections()[index];
            if class_before != Some(detection.class) {
                (hits, false_ones, class_before) = (0, 0, Some(detection.class));
            }
            outcomes[index] = match objects.best(comparison, detection.class, detection.image, &detection.bounds) {
                Some((truth, overlap)) if overlap >= LEAST_OVERLAP => match &comparison.truths()[truth] {
                    found if !found.counts() => Outcome::Ignored,
                    _ if taken[truth] => Outcome::False,
                    _ => Outcome::Hit(truth),
                },
                _ => Outcome::False,
            };
            match outcomes[index] {
                Outcome::Hit(truth) => {
                    taken[truth] = true;
                    hits += 1;
                }
                Outcome::False => false_ones += 1,
                Outcome::Ignored | Outcome::Beyond => {}
            }
            let class = &mut classes[detection.class];
            class.detections += 1;
            class.hits = hits;
            let (precision, recall) = &mut curves[detection.class];
            let counted = hits + false_ones;
            // Difficult objects before all others leave nothing to divide by.
            precision.push(if counted == 0 { 0.0 } else { hits as f64 / counted as f64 });
            recall.push(if class.objects == 0 { 0.0 } else { hits as f64 / class.objects as f64 });
        }
        for (class, (precision, recall)) in classes.iter_mut().zip(curves) {
            if class.objects > 0 {
                let (ap, miss_rate) =
                    (average_precision(&precision, &recall), log_average_miss_rate(&precision, &recall));
                class.curve = Some(VocCurve { precision, recall, ap, log_average_miss_rate: miss_rate });
            }
        }
        let aps: Vec<f64> = classes.iter().filter_map(|class| class.curve.as_ref()).map(|curve| curve.ap).collect();
        let mean_ap = (!aps.is_empty()).then(|| aps.iter().sum::<f64>() / aps.len() as f64);
        Self { mean_ap, classes, outcomes: Outcomes { detections: outcomes } }
    }

    /// The reference program's report, `output.txt`. The classes' names must come in ascending order.
    #[must_use]
    pub fn as_output_txt(&self, names: &[String]) -> String {
        let named = || names.iter().zip(&self.classes);
        let mut text = "# AP and precision/recall per class\n".to_owned();
        let list = |numbers: &[f64]| {
            let shown: Vec<String> = numbers.iter().map(|number| format!("'{number:.2}'")).collect();
            shown.join(", ")
        };
        // Writing to a string does not fail.
        for (name, curve) in named().filter_map(|(name, class)| Some((name, class.curve.as_ref()?))) {
            let _ = write!(
                text,
                "{:.2}% = {name} AP \n Precision: [{}]\n Recall :[{}]\n\n",
                100.0 * curve.ap,
                list(&curve.precision),
                list(&curve.recall)
            );
        }
        let _ = write!(text, "\n# mAP of all classes\nmAP = {:.2}%\n", 100.0 * self.mean_ap.unwrap_or(0.0));
        text.push_str("\n# Number of ground-truth objects per class\n");
        for (name, class) in named().filter(|(_, class)| class.objects > 0) {
            let _ = writeln!(text, "{name}: {}", class.objects);
        }
        text.push_str("\n# Number of detected objects per class\n");
        for (name, VocClass { detections, hits, .. }) in named().filter(|(_, class)| class.detections > 0) {
            let _ = writeln!(text, "{name}: {detections} (tp:{hits}, fp:{})", detections - hits);
        }
        text
    }
}

/// The objects of each class and picture.
struct ByPlace {
    /// Indices into the comparison's objects, by class, then picture, then the comparison's order.
    order: Vec<usize>,
}

impl ByPlace {
    fn of(comparison: &Comparison) -> Self {
        let mut order: Vec<usize> = (0..comparison.truths().len()).collect();
        order.sort_by_key(|&truth| place(&comparison.truths()[truth]));
        Self { order }
    }

    fn within(&self, comparison: &Comparison, least: (usize, usize), end: (usize, usize)) -> &[usize] {
        let first = self.order.partition_point(|&truth| place(&comparison.truths()[truth]) < least);
        let end = self.order.partition_point(|&truth| place(&comparison.truths()[truth]) < end);
        &self.order[first..end]
    }

    /// The counts of a class's objects; its detections come later.
    fn class(&self, comparison: &Comparison, class: usize) -> VocClass {
        let all = self.within(comparison, (class, 0), (class + 1, 0));
        let counted = || all.iter().map(|&truth| &comparison.truths()[truth]).filter(|truth| truth.counts());
        let mut images: Vec<usize> = counted().map(|truth| truth.image).collect();
        images.dedup();
        VocClass { objects: counted().count(), images: images.len(), detections: 0, hits: 0, curve: None }
    }

    /// The object of highest overlap, the first of equals, and its overlap.
    fn best(&self, comparison: &Comparison, class: usize, image: usize, bounds: &BoundingBox) -> Option<(usize, f64)> {
        let mut best: Option<(usize, f64)> = None;
        for &truth in self.within(comparison, (class, image), (class, image + 1)) {
            let overlap = overlap(bounds, &comparison.truths()[truth].bounds);
            if overlap > best.map_or(0.0, |(_, overlap)| overlap) {
                best = Some((truth, overlap));
            }
        }
        best
    }
}

fn place(truth: &Truth) -> (usize, usize) {
    (truth.class, truth.image)
}

/// Intersection over union, where right and bottom name the last pixels of a box.
fn overlap(one: &BoundingBox, other: &BoundingBox) -> f64 {
    let width = one.right.min(other.right) - one.left.max(other.left) + 1.0;
    let height = one.bottom.min(other.bottom) - one.top.max(other.top) + 1.0;
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let area = |bounds: &BoundingBox| (bounds.right - bounds.left + 1.0) * (bounds.bottom - bounds.top + 1.0);
    let shared = width * height;
    shared / (area(one) + area(other) - shared)
}

/// The area under the precision, made never to rise with recall, at every change of recall.
fn average_precision(precision: &[f64], recall: &[f64]) -> f64 {
    let mut best = 0.0_f64;
    let mut falling: Vec<f64> = precision
        .iter()
        .rev()
        .map(|&precision| {
            best = best.max(precision);
            best
        })
        .collect();
    falling.reverse();
    let mut before = 0.0;
    let mut area = 0.0;
    for (precision, &recall) in falling.into_iter().zip(recall) {
        area += (recall - before) * precision;
        before = recall;
    }
    area
}

/// The geometric mean of the miss rates at nine false rates from 0.01 to 1, evenly spaced in logarithms.
fn log_average_miss_rate(precision: &[f64], recall: &[f64]) -> f64 {
    if precision.is_empty() {
        return 0.0;
    }
    let mut sum = 0.0;
    for step in 0..9 {
        let reference = 10_f64.powf(-2.0 + f64::from(step) * 0.25);
        let last = precision.iter().rposition(|precision| 1.0 - precision <= reference);
        let miss_rate = last.map_or(1.0, |last| 1.0 - recall[last]);
        sum += miss_rate.max(1e-10).ln();
    }
    (sum / 9.0).exp()
}
