//! What is compared: pictures, classes, the objects that are there, and the detections of a program.

use thiserror::Error;

/// A picture of the ground truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name in tables and reports.
    pub name: String,
    /// Where the picture may lie: a path, or a place that [`Pictures`](crate::Pictures) knows.
    pub place: Option<String>,
}

/// A box in pixels. Both its forms are kept: one computed from the other differs in the last bit, which decides at a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundingBox {
    /// The left edge.
    pub left: f64,
    /// The top edge.
    pub top: f64,
    /// `left + width`
    pub right: f64,
    /// `top + height`
    pub bottom: f64,
    /// `right - left`
    pub width: f64,
    /// `bottom - top`
    pub height: f64,
}

impl BoundingBox {
    /// A box of `[left, top, width, height]`, as COCO has it.
    #[must_use]
    pub fn from_size([left, top, width, height]: [f64; 4]) -> Self {
        Self { left, top, right: left + width, bottom: top + height, width, height }
    }

    /// A box of `[left, top, right, bottom]`, as PASCAL VOC has it.
    #[must_use]
    pub fn from_corners([left, top, right, bottom]: [f64; 4]) -> Self {
        Self { left, top, right, bottom, width: right - left, height: bottom - top }
    }

    /// Width times height, in square pixels.
    #[must_use]
    pub fn area(&self) -> f64 {
        self.width * self.height
    }

    /// The area that two boxes share, in square pixels; 0 if they only touch.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        if width <= 0.0 || height <= 0.0 { 0.0 } else { width * height }
    }

    /// Intersection over union, 0 to 1.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f64 {
        let shared = self.intersection(other);
        if shared == 0.0 { 0.0 } else { shared / (self.area() + other.area() - shared) }
    }

    fn is_finite(&self) -> bool {
        [self.left, self.top, self.right, self.bottom, self.width, self.height].iter().all(|edge| edge.is_finite())
    }
}

/// An object that is in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// Index into [`Comparison::images`].
    pub image: usize,
    /// Index into [`Comparison::classes`].
    pub class: usize,
    /// Its box.
    pub bounds: BoundingBox,
    /// Square pixels: of the object, which may be less than those of its box.
    pub area: f64,
    /// COCO's `iscrowd`: the box holds many objects. Detections within it count neither way.
    pub crowd: bool,
    /// PASCAL VOC's `difficult`: neither finding nor missing it counts.
    pub difficult: bool,
}

impl Truth {
    /// Whether finding or missing the object counts.
    #[must_use]
    pub fn counts(&self) -> bool {
        !self.crowd && !self.difficult
    }
}

/// What a program says is in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Index into [`Comparison::images`].
    pub image: usize,
    /// Index into [`Comparison::classes`].
    pub class: usize,
    /// Its box.
    pub bounds: BoundingBox,
    /// The higher, the surer. Any finite number.
    pub score: f64,
}

/// An object or a detection that cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ComparisonError {
    /// The index of its picture is too large.
    #[error("picture {0} does not exist")]
    NoImage(usize),
    /// The index of its class is too large.
    #[error("class {0} does not exist")]
    NoClass(usize),
    /// A number is infinite, or none.
    #[error("an edge, the area or the score is no finite number")]
    NotFinite,
}

/// Ground truth and detections. The order of pictures, classes, objects and detections decides between equal scores.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    images: Vec<Image>,
    classes: Vec<String>,
    truths: Vec<Truth>,
    detections: Vec<Detection>,
}

impl Comparison {
    /// Pictures and classes in the order in which equal scores are taken: COCO's is that of their ids, VOC's that of their names.
    #[must_use]
    pub fn new(images: Vec<Image>, classes: Vec<String>) -> Self {
        Self { images, classes, truths: Vec::new(), detections: Vec::new() }
    }

    /// Adds an object.
    ///
    /// # Errors
    /// If its picture or class does not exist, or a number is not finite.
    pub fn push_truth(&mut self, truth: Truth) -> Result<(), ComparisonError> {
        self.check(truth.image, truth.class, truth.bounds.is_finite() && truth.area.is_finite())?;
        self.truths.push(truth);
        Ok(())
    }

    /// Adds a detection.
    ///
    /// # Errors
    /// If its picture or class does not exist, or a number is not finite.
    pub fn push_detection(&mut self, detection: Detection) -> Result<(), ComparisonError> {
        self.check(detection.image, detection.class, detection.bounds.is_finite() && detection.score.is_finite())?;
        self.detections.push(detection);
        Ok(())
    }

    fn check(&self, image: usize, class: usize, is_finite: bool) -> Result<(), ComparisonError> {
        match () {
            () if image >= self.images.len() => Err(ComparisonError::NoImage(image)),
            () if class >= self.classes.len() => Err(ComparisonError::NoClass(class)),
            () if !is_finite => Err(ComparisonError::NotFinite),
            () => Ok(()),
        }
    }

    /// The pictures.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The names of the classes.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The objects.
    #[must_use]
    pub fn truths(&self) -> &[Truth] {
        &self.truths
    }

    /// The detections.
    #[must_use]
    pub fn detections(&self) -> &[Detection] {
        &self.detections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_that_touch_share_nothing() {
        let left = BoundingBox::from_size([0.0, 0.0, 10.0, 10.0]);
        let right = BoundingBox::from_corners([10.0, 0.0, 20.0, 10.0]);
        assert_eq!((left.intersection(&right), left.iou(&right), left.iou(&left)), (0.0, 0.0, 1.0));
        let half = BoundingBox::from_size([5.0, 0.0, 10.0, 10.0]);
        assert_eq!((left.intersection(&half), left.iou(&half)), (50.0, 1.0 / 3.0));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let mut comparison = Comparison::new(vec![Image { name: "a".to_owned(), place: None }], vec!["cap".to_owned()]);
        let bounds = BoundingBox::from_size([0.0, 0.0, 1.0, 1.0]);
        let truth = Truth { image: 0, class: 0, bounds, area: 1.0, crowd: false, difficult: false };
        let detection = Detection { image: 0, class: 0, bounds, score: 0.5 };
        assert_eq!(comparison.push_truth(truth), Ok(()));
        assert_eq!(comparison.push_truth(Truth { image: 1, ..truth }), Err(ComparisonError::NoImage(1)));
        assert_eq!(comparison.push_detection(detection), Ok(()));
        assert_eq!(comparison.push_detection(Detection { class: 2, ..detection }), Err(ComparisonError::NoClass(2)));
        let endless = BoundingBox::from_size([0.0, 0.0, f64::MAX, f64::MAX]);
        assert_eq!(comparison.push_detection(Detection { bounds: endless, ..detection }), Ok(()));
        for score in [f64::NAN, f64::INFINITY] {
            assert_eq!(comparison.push_detection(Detection { score, ..detection }), Err(ComparisonError::NotFinite));
        }
        assert_eq!((comparison.truths().len(), comparison.detections().len()), (1, 2));
    }
}
