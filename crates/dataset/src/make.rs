//! Synthetic data sets: shapes with textures among clutter, for demonstrations and tests.

mod breeds;
mod canvas;
mod shape;

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};

use crate::annotations::{Label, Object, Rectangle, Sample, Size};
use crate::random::Random;
use crate::{ClassId, Classes, DatasetError, Reading, Source};

pub use breeds::BREEDS;
pub use shape::Shape;

/// The quality of JPEG files.
const QUALITY: u8 = 90;
/// How often a place for a shape is looked for.
const ATTEMPTS: usize = 30;
/// One picture of this many has no shape, as a negative example.
const NEGATIVES: u64 = 12;

/// What a synthetic data set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// The number of pictures.
    pub pictures: u32,
    /// Width and height of a picture in pixels, 16 to 4096.
    pub side: u32,
    /// How many of [`Shape::ALL`] or of [`BREEDS`] there are, from the first.
    pub classes: usize,
    /// The most shapes of a picture, at least 1.
    pub most: u32,
    /// One shape a picture, with a class of the whole picture in place of a box.
    pub is_classification: bool,
    /// Classes are named as breeds of cats and dogs, and each has a shape and a hue of its own. For a classification only.
    pub is_breeds: bool,
    /// PNG in place of JPEG.
    pub is_png: bool,
    /// Another seed gives other pictures; the same seed gives the same bytes.
    pub seed: u64,
}

/// Makes the pictures of a recipe one after the other.
pub struct Made {
    recipe: Recipe,
    next: u32,
    classes: Vec<ClassId>,
}

impl Made {
    /// Begins, and adds the shapes to `classes`.
    ///
    /// # Errors
    /// [`DatasetError::Usage`] for numbers that make no sense.
    pub fn new(recipe: Recipe, classes: &mut Classes) -> Result<Self, DatasetError> {
        let usage = |text: String| Err(DatasetError::Usage(text));
        if !(16..=4096).contains(&recipe.side) {
            return usage(format!("a side of {} pixels: 16 to 4096 work", recipe.side));
        }
        let names: Vec<&str> =
            if recipe.is_breeds { BREEDS.to_vec() } else { Shape::ALL.iter().map(|shape| shape.name()).collect() };
        if !(1..=names.len()).contains(&recipe.classes) {
            return usage(format!("{} classes: 1 to {} work", recipe.classes, names.len()));
        }
        if !(1..=100).contains(&recipe.most) {
            return usage(format!("{} shapes in a picture: 1 to 100 work", recipe.most));
        }
        let names = names[..recipe.classes].iter().zip(0..);
        let classes = names.map(|(name, number)| classes.name(number, name)).collect();
        Ok(Self { recipe, next: 0, classes })
    }

    /// The picture of a number, which does not depend on the others.
    fn picture(&self, index: u32) -> (RgbImage, Vec<(usize, Rectangle)>) {
        let recipe = &self.recipe;
        let mut random = Random::of(recipe.seed, u64::from(index));
        let side = f64::from(recipe.side);
        let (mut picture, ground) = canvas::background(recipe.side, &mut random);
        let mut shapes = Vec::new();
        let count = match (recipe.is_classification, random.below(NEGATIVES)) {
            (true, _) => 1,
            (false, 0) => 0,
            (false, _) => 1 + random.below(u64::from(recipe.most)),
        };
        for _ in 0..count {
            // Classes take turns in a classification, so that each has the same number.
            let class = match recipe.is_classification {
                true => index as usize % recipe.classes,
                false => random.below(recipe.classes as u64) as usize,
            };
            let (low, high) = if recipe.is_classification { (0.25, 0.42) } else { (0.07, 0.24) };
            for _ in 0..ATTEMPTS {
                let radius = side * random.between(low, high);
                let centre = [random.between(radius, side - radius), random.between(radius, side - radius)];
                let around = Rectangle::between([
                    centre[0] - radius,
                    centre[1] - radius,
                    centre[0] + radius,
                    centre[1] + radius,
                ]);
                if shapes.iter().any(|(_, other): &(usize, Rectangle)| overlap(&around, other)) {
                    continue;
                }
                let shape = Shape::ALL[class % Shape::ALL.len()];
                let hue = recipe.is_breeds.then(|| breeds::hue(class));
                let figure = canvas::Figure::new(shape, hue, centre, radius, ground, &mut random);
                if let Some(bounds) = figure.paint(&mut picture) {
                    shapes.push((class, bounds));
                }
                break;
            }
        }
        canvas::noise(&mut picture, &mut random);
        (picture, shapes)
    }

    fn encode(&self, picture: &RgbImage) -> Result<Vec<u8>, image::ImageError> {
        let mut bytes = Cursor::new(Vec::new());
        if self.recipe.is_png {
            picture.write_to(&mut bytes, ImageFormat::Png)?;
        } else {
            JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(picture)?;
        }
        Ok(bytes.into_inner())
    }
}

/// Whether more than a tenth of the smaller box is common to both.
fn overlap(one: &Rectangle, other: &Rectangle) -> bool {
    let ([a, b, c, d], [e, f, g, h]) = (one.corners(), other.corners());
    let common = (c.min(g) - a.max(e)).max(0.0) * (d.min(h) - b.max(f)).max(0.0);
    common > 0.1 * one.area().min(other.area())
}

impl Source for Made {
    fn next(&mut self, _: &mut Reading) -> Result<Option<Sample>, DatasetError> {
        if self.next == self.recipe.pictures {
            return Ok(None);
        }
        let index = self.next;
        self.next += 1;
        let (picture, shapes) = self.picture(index);
        let name = format!("{index:06}.{}", if self.recipe.is_png { "png" } else { "jpg" });
        let encoded = self
            .encode(&picture)
            .map_err(|error| DatasetError::Picture { place: name.clone(), reason: error.to_string() })?;
        let mut sample = Sample::at(name);
        sample.size = Some(Size { width: self.recipe.side, height: self.recipe.side, depth: 3 });
        sample.encoded = Some(encoded);
        sample.is_annotated = true;
        sample.id = Some(i64::from(index));
        for (class, bounds) in shapes {
            let class = self.classes[class];
            if self.recipe.is_classification {
                sample.labels.push(Label { class, confidence: None });
            } else {
                sample.objects.push(Object::new(class, bounds));
            }
        }
        Ok(Some(sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: Recipe = Recipe {
        pictures: 40,
        side: 96,
        classes: 5,
        most: 4,
        is_classification: false,
        is_breeds: false,
        is_png: true,
        seed: 3,
    };

    fn made(recipe: Recipe) -> Vec<Sample> {
        let mut reading = Reading::default();
        let mut made = Made::new(recipe, &mut reading.classes).unwrap();
        std::iter::from_fn(|| made.next(&mut reading).unwrap()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(made(RECIPE), made(RECIPE));
        assert_ne!(made(RECIPE), made(Recipe { seed: 4, ..RECIPE }));
        // More pictures begin with the same ones.
        assert_eq!(made(Recipe { pictures: 10, ..RECIPE }), made(RECIPE)[..10]);
    }

    #[test]
    fn boxes_hold_a_shape_and_lie_in_the_picture() {
        let samples = made(RECIPE);
        assert!(samples.iter().any(|sample| sample.objects.is_empty()));
        let mut seen = [0; 5];
        for object in samples.iter().flat_map(|sample| &sample.objects) {
            assert!(!object.bounds.is_outside(Size { width: 96, height: 96, depth: 3 }) && object.bounds.area() > 30.0);
            seen[object.class.0 as usize] += 1;
        }
        assert!(seen.iter().all(|count| *count > 3), "{seen:?}");
    }

    #[test]
    fn classes_of_whole_pictures_take_turns() {
        let samples = made(Recipe { is_classification: true, pictures: 12, ..RECIPE });
        let classes: Vec<_> = samples.iter().map(|sample| sample.labels[0].class.0).collect();
        assert_eq!(classes, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]);
        let breeds = Recipe { is_classification: true, is_breeds: true, classes: 12, pictures: 13, ..RECIPE };
        let mut reading = Reading::default();
        Made::new(breeds, &mut reading.classes).unwrap();
        assert_eq!(reading.classes.shown(crate::ClassId(2)), "american_bulldog");
        assert_eq!(made(breeds)[12].labels[0].class.0, 0);
        for wrong in [Recipe { side: 4, ..RECIPE }, Recipe { classes: 9, ..RECIPE }, Recipe { most: 0, ..RECIPE }] {
            assert!(Made::new(wrong, &mut Classes::default()).is_err());
        }
    }
}
