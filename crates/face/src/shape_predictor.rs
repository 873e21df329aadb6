use image::RgbImage;

use crate::dlib_reader::{FLOAT, INTEGER, Reader};
use crate::{FaceModelFormatError, Landmarks, POINTS, Point, Rectangle};

/// The numbers of a shape: x and y of every point.
const COORDINATES: usize = 2 * POINTS;

/// Places the landmarks of a face with a cascade of regression trees, as dlib's `shape_predictor`.
///
/// The method is that of Kazemi and Sullivan, *One Millisecond Face Alignment with an Ensemble of Regression Trees*
/// (CVPR 2014). Shapes are in units of the face's rectangle, (0, 0) to (1, 1), with x and y interleaved.
#[derive(Debug)]
pub struct ShapePredictor {
    initial: Vec<f32>,
    cascades: Vec<Cascade>,
}

/// One round of corrections. All of its trees compare the same pixels.
#[derive(Debug)]
struct Cascade {
    pixels: Vec<Pixel>,
    trees: Vec<Tree>,
}

/// A pixel that splits compare: an offset from a point of the mean shape. The offset scales and turns with the shape.
#[derive(Debug)]
struct Pixel {
    anchor: usize,
    offset: [f32; 2],
}

/// A complete binary tree. The children of node `n` are `2n + 1` and `2n + 2`.
#[derive(Debug)]
struct Tree {
    splits: Vec<Split>,
    /// The corrections of the shape, leaf by leaf, [`COORDINATES`] numbers each.
    leaves: Vec<f32>,
}

/// An inner node. It leads to the first child where the first pixel exceeds the second by more than the threshold.
#[derive(Debug)]
struct Split {
    first: usize,
    second: usize,
    threshold: f32,
}

impl ShapePredictor {
    /// Reads a predictor of 68 points that dlib serialized, such as `shape_predictor_68_face_landmarks.dat`.
    ///
    /// # Errors
    /// [`FaceModelFormatError`]: the first place where the bytes are not such a predictor, and what is expected there.
    pub fn read(bytes: &[u8]) -> Result<Self, FaceModelFormatError> {
        let mut reader = Reader::new(bytes);
        reader.within("the shape predictor's version", 1..=1)?;
        let initial = shape(&mut reader, "the mean shape (two rows a point, 68 points)")?;
        let cascades = reader.some("the number of cascades", INTEGER)?;
        let mut forests = Vec::new();
        for _ in 0..cascades {
            let trees = reader.count("the number of trees of a cascade", COORDINATES * FLOAT)?;
            forests.push((0..trees).map(|_| Tree::read(&mut reader)).collect::<Result<Vec<_>, _>>()?);
        }
        let same = cascades as i64..=cascades as i64;
        reader.within("the number of cascades with pixels", same.clone())?;
        let mut anchors = Vec::new();
        for _ in 0..cascades {
            let count = reader.count("the number of pixels of a cascade", INTEGER)?;
            let anchor = |_| Ok(reader.within("the point that a pixel belongs to", 0..=POINTS as i64 - 1)? as usize);
            anchors.push((0..count).map(anchor).collect::<Result<Vec<_>, FaceModelFormatError>>()?);
        }
        reader.within("the number of cascades with offsets", same)?;
        let mut read = Vec::new();
        for (trees, anchors) in forests.into_iter().zip(anchors) {
            let pixels = anchors.len() as i64;
            reader.within("the number of offsets of a cascade", pixels..=pixels)?;
            let pixel = |anchor| {
                let offset = [reader.float("an offset")? as f32, reader.float("an offset")? as f32];
                Ok(Pixel { anchor, offset })
            };
            let pixels = anchors.into_iter().map(pixel).collect::<Result<Vec<_>, FaceModelFormatError>>()?;
            let beyond = trees.iter().flat_map(|tree| &tree.splits).flat_map(|split| [split.first, split.second]);
            if let Some(index) = beyond.into_iter().find(|&index| index >= pixels.len()) {
                return Err(FaceModelFormatError::Pixel { index, pixels: pixels.len() });
            }
            read.push(Cascade { pixels, trees });
        }
        reader.end()?;
        Ok(Self { initial, cascades: read })
    }

    /// The landmarks of the face in a rectangle, rounded to whole pixels. They may lie beyond the picture.
    pub fn predict(&self, picture: &RgbImage, rectangle: &Rectangle) -> Landmarks {
        let mut shape = self.initial.clone();
        let mut values = Vec::new();
        for cascade in &self.cascades {
            let turn = similarity(&self.initial, &shape);
            values.clear();
            values.extend(cascade.pixels.iter().map(|pixel| {
                let [dx, dy] = pixel.offset;
                let x = turn[0] * dx - turn[1] * dy + shape[2 * pixel.anchor];
                let y = turn[1] * dx + turn[0] * dy + shape[2 * pixel.anchor + 1];
                intensity(picture, place(rectangle, x, y))
            }));
            for tree in &cascade.trees {
                for (value, correction) in shape.iter_mut().zip(tree.leaf(&values)) {
                    *value += correction;
                }
            }
        }
        let mut landmarks = Landmarks::default();
        for (point, place_in_shape) in landmarks.0.iter_mut().zip(shape.as_chunks().0) {
            let [x, y] = *place_in_shape;
            *point = place(rectangle, x, y);
        }
        landmarks
    }
}

impl Tree {
    fn read(reader: &mut Reader<'_>) -> Result<Self, FaceModelFormatError> {
        let count = reader.count("the number of splits of a tree", 2 * INTEGER + FLOAT)?;
        // A complete tree has a power of two of leaves.
        let leaves = count as i64 + 1;
        if !(count + 1).is_power_of_two() {
            return Err(FaceModelFormatError::Splits { count });
        }
        let pixel = 0..=i64::from(u32::MAX);
        let split = |_| {
            Ok(Split {
                first: reader.within("a split's first pixel", pixel.clone())? as usize,
                second: reader.within("a split's second pixel", pixel.clone())? as usize,
                threshold: reader.float("a split's threshold")? as f32,
            })
        };
        let splits = (0..count).map(split).collect::<Result<Vec<_>, FaceModelFormatError>>()?;
        reader.within("the number of leaves of a tree", leaves..=leaves)?;
        let mut values = Vec::new();
        for _ in 0..leaves {
            values.append(&mut shape(reader, "a leaf")?);
        }
        Ok(Self { splits, leaves: values })
    }

    fn leaf(&self, values: &[f32]) -> &[f32] {
        let mut node = 0;
        while let Some(split) = self.splits.get(node) {
            node = 2 * node + if values[split.first] - values[split.second] > split.threshold { 1 } else { 2 };
        }
        &self.leaves[(node - self.splits.len()) * COORDINATES..][..COORDINATES]
    }
}

fn shape(reader: &mut Reader<'_>, what: &'static str) -> Result<Vec<f32>, FaceModelFormatError> {
    Ok(reader.column(what, COORDINATES)?.into_iter().map(|value| value as f32).collect())
}

/// The rotation and scaling that fit one shape to another with the least squares (Umeyama 1991, in two dimensions):
/// `[a, b]` of the matrix `[[a, -b], [b, a]]`.
fn similarity(from: &[f32], to: &[f32]) -> [f32; 2] {
    let mean = |shape: &[f32], axis: usize| {
        shape.iter().skip(axis).step_by(2).map(|&value| f64::from(value)).sum::<f64>() / POINTS as f64
    };
    let (from_mean, to_mean) = ([mean(from, 0), mean(from, 1)], [mean(to, 0), mean(to, 1)]);
    let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
    for (from, to) in from.as_chunks::<2>().0.iter().zip(to.as_chunks::<2>().0) {
        let [x, y] = [f64::from(from[0]) - from_mean[0], f64::from(from[1]) - from_mean[1]];
        let [u, v] = [f64::from(to[0]) - to_mean[0], f64::from(to[1]) - to_mean[1]];
        along += x * u + y * v;
        across += x * v - y * u;
        spread += x * x + y * y;
    }
    if spread == 0.0 { [1.0, 0.0] } else { [(along / spread) as f32, (across / spread) as f32] }
}

/// The pixel of the picture at a position in units of a rectangle.
fn place(rectangle: &Rectangle, x: f32, y: f32) -> Point {
    let along = |from: i32, to: i32, share: f32| {
        let (from, to) = (f64::from(from), f64::from(to));
        (from + f64::from(share) * (to - from) + 0.5).floor()
    };
    Point { x: along(rectangle.left, rectangle.right, x), y: along(rectangle.top, rectangle.bottom, y) }
}

/// The mean of a pixel's channels, rounded down. It is 0 beyond the picture.
fn intensity(picture: &RgbImage, at: Point) -> f32 {
    let within = |value: f64, size: u32| value >= 0.0 && value < f64::from(size);
    if !within(at.x, picture.width()) || !within(at.y, picture.height()) {
        return 0.0;
    }
    let [red, green, blue] = picture.get_pixel(at.x as u32, at.y as u32).0.map(u16::from);
    f32::from((red + green + blue) / 3)
}
