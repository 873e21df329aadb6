//! A picture and what is known of it.

use crate::ClassId;

/// One picture of a data set, with its annotations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Where the picture lies: an `s3://` URI or a path. A reader has resolved it against its folder of pictures.
    pub place: String,
    /// The file's name, as the data set gives it: without a folder where the format knows none.
    pub name: String,
    /// The size in pixels, where the data set says it.
    pub size: Option<Size>,
    /// Classes of the whole picture.
    pub labels: Vec<Label>,
    /// Objects with a box.
    pub objects: Vec<Object>,
    /// Whether the picture was annotated. One that was, and has no objects, is a negative example.
    pub is_annotated: bool,
    /// The picture's own id in its data set, such as COCO's `id`.
    pub id: Option<i64>,
    /// The picture's bytes, where the data set holds them: JPEG or PNG of TFRecord.
    pub encoded: Option<Vec<u8>>,
    /// Where the annotations come from.
    pub provenance: Provenance,
    /// The line of a Ground Truth manifest that the sample was read from, where lines are kept: its job's two keys are the last.
    pub line: Option<String>,
}

/// A size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// Channels of a pixel: 1 for grey, 3 for colours.
    pub depth: u8,
}

/// A class of the whole picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Label {
    /// The class.
    pub class: ClassId,
    /// How sure the annotator or the model is, 0 to 1.
    pub confidence: Option<f64>,
}

/// An object of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// The class.
    pub class: ClassId,
    /// The box in pixels of the picture.
    pub bounds: Rectangle,
    /// How sure the annotator or the model is, 0 to 1.
    pub confidence: Option<f64>,
    /// The object's area in square pixels where it is not the box's, such as that of an outline.
    pub area: Option<f64>,
    /// How much the object counts in training, 1 where nothing is said.
    pub weight: Option<f64>,
    /// What else is known.
    pub flags: Flags,
}

/// What is known of an object beside its class and box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// One box for many objects: COCO's `iscrowd`, Open Images' `IsGroupOf`.
    pub is_crowd: bool,
    /// Hard to recognise; evaluation passes it over: Pascal VOC's `difficult`.
    pub is_difficult: bool,
    /// It goes on beyond the picture's edge or the box.
    pub is_truncated: bool,
    /// Something hides a part of it.
    pub is_occluded: bool,
    /// A drawing, a statue or a cartoon of the class.
    pub is_depiction: bool,
    /// Seen from its inside, such as a building.
    pub is_inside: bool,
}

/// A box in pixels. Pixel edges count, so that the box of one pixel has a width of 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectangle {
    /// The left edge.
    pub left: f64,
    /// The top edge.
    pub top: f64,
    /// Width; not above 0 in a broken data set.
    pub width: f64,
    /// Height; not above 0 in a broken data set.
    pub height: f64,
}

/// Where annotations come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The labelling job, such as `labeling-job/cars`.
    pub job: Option<String>,
    /// Whether a person drew the annotations.
    pub is_human: Option<bool>,
    /// When, as the data set writes it.
    pub created: Option<String>,
}

impl Rectangle {
    /// The box between two corners, `[left, top, right, bottom]`.
    #[must_use]
    pub fn between([left, top, right, bottom]: [f64; 4]) -> Self {
        Self { left, top, width: right - left, height: bottom - top }
    }

    /// `[left, top, right, bottom]`
    #[must_use]
    pub fn corners(&self) -> [f64; 4] {
        [self.left, self.top, self.left + self.width, self.top + self.height]
    }

    /// The area in square pixels; negative if one side is.
    #[must_use]
    pub fn area(&self) -> f64 {
        self.width * self.height
    }

    /// Whether the box has an area.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        // Not `<=`: a side that is no number is empty too.
        !(self.width > 0.0 && self.height > 0.0)
    }

    /// Whether a part of the box lies beyond a picture of this size. A thousandth of a pixel is forgiven to formats of shares.
    #[must_use]
    pub fn is_outside(&self, size: Size) -> bool {
        let [left, top, right, bottom] = self.corners();
        let within = |low: f64, high: f64, side: u32| low >= -1e-3 && high <= f64::from(side) + 1e-3;
        !(within(left, right, size.width) && within(top, bottom, size.height))
    }
}

impl Object {
    /// An object without anything beside class and box.
    #[must_use]
    pub fn new(class: ClassId, bounds: Rectangle) -> Self {
        Self { class, bounds, confidence: None, area: None, weight: None, flags: Flags::default() }
    }
}

impl Sample {
    /// A picture with its place; its name is the last part of it.
    #[must_use]
    pub fn at(place: impl Into<String>) -> Self {
        let place = place.into();
        Self { name: base_name(&place).to_owned(), place, ..Self::default() }
    }

    /// Every class that the picture shows, each once, in order of their ids.
    #[must_use]
    pub fn classes(&self) -> Vec<ClassId> {
        let mut classes: Vec<ClassId> =
            self.labels.iter().map(|label| label.class).chain(self.objects.iter().map(|object| object.class)).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }
}

/// The part of a place after the last `/` or `\`.
pub(crate) fn base_name(place: &str) -> &str {
    place.rsplit(['/', '\\']).next().unwrap_or(place)
}
