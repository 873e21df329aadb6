use dataset::ClassId;
use dataset::draw::{HEIGHT, Tags};
use picture::{RgbImage, drawing};
use serde_json::{Value, json};

/// The colours of boxes without a class, and of points.
const BOX: [u8; 3] = [255, 59, 48];
const POINT: [u8; 3] = [52, 199, 89];
/// Lines are a pixel thick for this many pixels of the picture's shorter side.
const SIDE_OF_A_PIXEL: u32 = 300;
/// Points are a pixel wide for this many pixels of the box's shorter side.
const PIXELS_OF_A_POINT: f64 = 20.0;

/// A network that finds faces or objects.
pub(super) trait Finder {
    /// What it finds: one, and several.
    fn nouns(&self) -> [&'static str; 2];

    /// What is in a picture, best first, from this score on.
    fn find(&self, picture: &RgbImage, threshold: f32) -> anyhow::Result<Vec<Found>>;
}

/// A face or an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Left, top, right and bottom, in pixels.
    pub(super) corners: [f64; 4],
    /// 0 to 1.
    pub(super) score: f32,
    /// That of an object.
    pub(super) class: Option<Class>,
    /// Points of a face, `[x, y]` in pixels.
    pub(super) landmarks: Option<Vec<[f64; 2]>>,
}

/// The class of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Class {
    /// From 0.
    pub(super) number: usize,
    /// That of the label map, or the number.
    pub(super) name: String,
}

impl Class {
    fn colour(&self) -> [u8; 3] {
        dataset::draw::colour(ClassId(u32::try_from(self.number).unwrap_or(0)))
    }
}

impl Found {
    pub(super) fn as_json(&self) -> Value {
        let mut value = json!({"box": self.corners, "score": self.score});
        if let Some(landmarks) = &self.landmarks {
            value["landmarks"] = json!(landmarks);
        }
        if let Some(Class { number, name }) = &self.class {
            value["class"] = json!(number);
            value["name"] = json!(name);
        }
        value
    }

    /// Draws the box and the points.
    pub(super) fn draw(&self, picture: &mut RgbImage) {
        let thickness = picture.width().min(picture.height()).div_ceil(SIDE_OF_A_PIXEL);
        drawing::outline(picture, self.corners, thickness, self.class.as_ref().map_or(BOX, Class::colour));
        for place in self.landmarks.iter().flatten() {
            drawing::point(picture, *place, point_side(self.corners, thickness), POINT);
        }
    }

    /// Draws the class's name and the score above the box, beside the names that the picture has.
    pub(super) fn draw_name(&self, picture: &mut RgbImage, tags: &mut Tags) {
        let Some(class) = &self.class else { return };
        let [left, top, ..] = self.corners;
        let text = format!("{} {:.2}", class.name, self.score);
        // The cast saturates.
        let place = [left as i64, (top as i64).saturating_sub(i64::from(HEIGHT) + 1)];
        tags.draw(picture, &text, place, class.colour());
    }
}

/// The side of a point, in pixels. It grows with the face, so that points are seen on a large one and do not cover a small one.
fn point_side([left, top, right, bottom]: [f64; 4], thickness: u32) -> u32 {
    let side = (right - left).min(bottom - top) / PIXELS_OF_A_POINT;
    (side.round() as u32).clamp(thickness + 1, 4 * thickness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_grow_with_the_face() {
        let side = |pixels: f64, thickness| point_side([10.0, 10.0, 10.0 + pixels, 30.0 + pixels], thickness);
        assert_eq!([side(13.0, 2), side(80.0, 2), side(120.0, 2), side(414.0, 2)], [3, 4, 6, 8]);
        assert_eq!([side(13.0, 1), side(414.0, 1), side(-3.0, 1)], [2, 4, 2]);
    }

    #[test]
    fn the_name_of_an_object_is_above_its_box() {
        let class = Some(Class { number: 1, name: "ring".to_owned() });
        let found = Found { corners: [20.0, 30.0, 60.0, 70.0], score: 0.5, class, landmarks: None };
        let mut picture = RgbImage::new(100, 100);
        found.draw(&mut picture);
        assert_eq!(picture.get_pixel(20, 50).0, dataset::draw::colour(ClassId(1)));
        assert!(picture.rows().take(29).flatten().all(|pixel| pixel.0 == [0; 3]));
        found.draw_name(&mut picture, &mut Tags::default());
        assert!(picture.rows().take(29).flatten().any(|pixel| pixel.0 == [255; 3]));
    }
}
