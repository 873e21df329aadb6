//! From pictures to inputs of the network: fastai v1's transforms, all in one sampling.

use picture::RgbImage;

use super::sampling::Pixels;

/// Sides are resized to multiples of this, before pictures are cropped.
const MULTIPLE: usize = 32;
/// The least distance of a value to 0 and 1 before its logit is taken.
const CLAMP: f32 = 1e-7;

/// What is done with a picture between its file and the network. The default is what fastai does in validation: the shorter side is
/// resized, and the middle cropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Whether left and right change places.
    pub flip: bool,
    /// The length by which the right, left, lower and upper edge grow at each of their ends: 1 is half a side.
    pub warp: Option<[f64; 4]>,
    /// Degrees, counterclockwise in coordinates that grow downwards.
    pub rotate: Option<f64>,
    /// Enlarges the picture.
    pub zoom: Option<Zoom>,
    /// 0 to 1: 0.5 changes nothing.
    pub brightness: Option<f64>,
    /// A factor: 1 changes nothing.
    pub contrast: Option<f64>,
    /// The place of the crop, down and across: 0 is the first row or column, 1 the last.
    pub crop: [f64; 2],
}

/// An enlargement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zoom {
    /// 1 and more.
    pub scale: f64,
    /// The place of what remains, down and across: 0 to 1.
    pub place: [f64; 2],
}

impl Default for Transform {
    fn default() -> Self {
        Self { flip: false, warp: None, rotate: None, zoom: None, brightness: None, contrast: None, crop: [0.5; 2] }
    }
}

impl Transform {
    /// A square of `size` pixels.
    ///
    /// # Panics
    /// The picture has no pixels, or `size` is 0.
    pub fn apply(&self, picture: &RgbImage, size: usize) -> Pixels {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let resized = Resized::of(width, height, size);
        let coordinates = Coordinates::of(self, resized);
        let source = match coordinates.reduction(width, height) {
            Some((width, height)) => Pixels::averaged(picture, width, height),
            None => Pixels::of(picture),
        };
        let rows = Crop::of(resized.height, size, self.crop[0]);
        let columns = Crop::of(resized.width, size, self.crop[1]);
        let mut values = Vec::with_capacity(size * size * 3);
        for row in 0..size {
            let row = rows.place(row);
            for column in 0..size {
                values.extend(source.sample(coordinates.at(row, columns.place(column))));
            }
        }
        self.light(&mut values);
        Pixels { width: size, height: size, values }
    }

    /// Brightness and contrast, on the logits of values.
    fn light(&self, values: &mut [f32]) {
        if self.brightness.is_none() && self.contrast.is_none() {
            return;
        }
        let added = self.brightness.map_or(0.0, |change| (change / (1.0 - change)).ln()) as f32;
        let factor = self.contrast.unwrap_or(1.0) as f32;
        for value in values {
            let clamped = value.clamp(CLAMP, 1.0 - CLAMP);
            let logit = -(1.0 / clamped - 1.0).ln();
            *value = 1.0 / (1.0 + (-(logit + added) * factor).exp());
        }
    }

    /// Flip, rotation and zoom of coordinates, one after the other: a matrix, whose last row is implied.
    fn affine(&self) -> [[f64; 3]; 2] {
        let mut matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        if self.flip {
            matrix = product(matrix, [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
        }
        if let Some(degrees) = self.rotate {
            let (sine, cosine) = degrees.to_radians().sin_cos();
            matrix = product(matrix, [[cosine, -sine, 0.0], [sine, cosine, 0.0]]);
        }
        if let Some(Zoom { scale, place: [row, column] }) = self.zoom {
            let (rest, shrunk) = (1.0 - 1.0 / scale, 1.0 / scale);
            let shift = |place: f64| rest * (2.0 * place - 1.0);
            matrix = product(matrix, [[shrunk, 0.0, shift(column)], [0.0, shrunk, shift(row)]]);
        }
        matrix
    }
}

fn product(a: [[f64; 3]; 2], b: [[f64; 3]; 2]) -> [[f64; 3]; 2] {
    let entry = |row: [f64; 3], column: usize| row[0] * b[0][column] + row[1] * b[1][column];
    a.map(|row| [entry(row, 0), entry(row, 1), entry(row, 2) + row[2]])
}

/// The size of a picture after its shorter side was resized, before the crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resized {
    width: usize,
    height: usize,
}

impl Resized {
    fn of(width: usize, height: usize, size: usize) -> Self {
        let target = ((size as f64 / MULTIPLE as f64 + 0.5) as usize * MULTIPLE).max(MULTIPLE) as f64;
        let ratio = (width as f64 / target).min(height as f64 / target);
        let side = |length: usize| (length as f64 / ratio).round_ties_even() as usize;
        Self { width: side(width), height: side(height) }
    }
}

/// For each pixel of a resized picture, the place in the original.
struct Coordinates {
    resized: Resized,
    /// A projection, whose last coefficient is 1.
    warp: Option<[f32; 8]>,
    matrix: [[f32; 3]; 2],
}

impl Coordinates {
    fn of(transform: &Transform, resized: Resized) -> Self {
        let mut matrix = transform.affine();
        // Coordinates of both axes are -1 to 1: the angle is that of a square.
        let ratio = resized.height as f64 / resized.width as f64;
        matrix[0][1] *= ratio;
        matrix[1][0] /= ratio;
        let warp = transform.warp.map(|moves| projection(moves).map(|value| value as f32));
        Self { resized, warp, matrix: matrix.map(|row| row.map(|value| value as f32)) }
    }

    fn at(&self, row: usize, column: usize) -> [f32; 2] {
        let (x, y) = (node(column, self.resized.width), node(row, self.resized.height));
        let [x, y] = match self.warp {
            Some(c) => {
                let depth = c[6] * x + c[7] * y + 1.0;
                [(c[0] * x + c[1] * y + c[2]) / depth, (c[3] * x + c[4] * y + c[5]) / depth]
            }
            None => [x, y],
        };
        self.matrix.map(|[a, b, c]| x * a + y * b + c)
    }

    /// The size to which a picture is averaged before it is sampled, where too few of its pixels would count.
    fn reduction(&self, width: usize, height: usize) -> Option<(usize, usize)> {
        let Resized { width: columns, height: rows } = self.resized;
        let factor = (width as f64 / columns as f64).min(height as f64 / rows as f64) / 2.0;
        // Projections keep lines straight: the corners are the furthest.
        let corners = [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)];
        let corners = corners.map(|(row, column)| self.at(row, column)).into_iter().flatten();
        let (least, most) =
            corners.fold((f32::MAX, f32::MIN), |(least, most), value| (least.min(value), most.max(value)));
        let visible = 2.0 / f64::from(most - least);
        let reduced = |length: usize| ((length as f64 * (1.0 / factor)).floor() as usize).max(1);
        (factor > 1.0 && factor > visible).then(|| (reduced(width), reduced(height)))
    }
}

/// A value of `torch.linspace(-1, 1, count)` in 32 bits, which counts from both ends.
fn node(index: usize, count: usize) -> f32 {
    if count == 1 {
        return -1.0;
    }
    let step = 2.0 / (count - 1) as f32;
    if index < count / 2 { -1.0 + step * index as f32 } else { 1.0 - step * (count - 1 - index) as f32 }
}

/// The projection that takes four moved corners back to those of the square from -1 to 1.
fn projection([right, left, bottom, top]: [f64; 4]) -> [f64; 8] {
    let corners = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]];
    let moved = [
        [-1.0 - top, -1.0 - left],
        [-1.0 - bottom, 1.0 + left],
        [1.0 + top, -1.0 - right],
        [1.0 + bottom, 1.0 + right],
    ];
    let mut equations = [[0.0; 9]; 8];
    for (index, ([x, y], [to_x, to_y])) in moved.into_iter().zip(corners).enumerate() {
        equations[2 * index] = [x, y, 1.0, 0.0, 0.0, 0.0, -to_x * x, -to_x * y, to_x];
        equations[2 * index + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -to_y * x, -to_y * y, to_y];
    }
    solve(equations)
}

/// Gaussian elimination with partial pivoting. The last column is the right-hand side.
fn solve<const N: usize, const M: usize>(mut rows: [[f64; M]; N]) -> [f64; N] {
    for pivot in 0..N {
        let largest = (pivot..N).max_by(|a, b| rows[*a][pivot].abs().total_cmp(&rows[*b][pivot].abs()));
        rows.swap(pivot, largest.expect("there are rows below the pivot, or the pivot's own"));
        let (above, below) = rows.split_at_mut(pivot + 1);
        let above = &above[pivot];
        for row in below {
            let factor = row[pivot] / above[pivot];
            for (value, above) in row.iter_mut().zip(above).skip(pivot) {
                *value -= factor * above;
            }
        }
    }
    let mut solution = [0.0; N];
    for row in (0..N).rev() {
        let known: f64 = (row + 1..N).map(|column| rows[row][column] * solution[column]).sum();
        solution[row] = (rows[row][M - 1] - known) / rows[row][row];
    }
    solution
}

/// A side that is cropped. A shorter one is padded by reflection first.
struct Crop {
    length: usize,
    padding: usize,
    start: usize,
}

impl Crop {
    fn of(length: usize, size: usize, place: f64) -> Self {
        let padding = (size + 1).saturating_sub(length) / 2;
        let start = ((length + 2 * padding - size + 1) as f64 * place) as usize;
        Self { length, padding, start: start.min(length + 2 * padding - size) }
    }

    /// The index in the resized picture of one in the crop.
    fn place(&self, index: usize) -> usize {
        let last = self.length - 1;
        let index = (index + self.start).abs_diff(self.padding);
        if last == 0 {
            return 0;
        }
        let index = index % (2 * last);
        if index <= last { index } else { 2 * last - index }
    }
}
