//! Pictures as numbers, and their values between the pixels.

use picture::RgbImage;

/// A picture `(height, width, 3)`, red first, with values of 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Row by row.
    pub values: Vec<f32>,
}

impl Pixels {
    /// Of 8 bits.
    pub fn of(picture: &RgbImage) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        Self { width, height, values: picture.as_raw().iter().map(|value| f32::from(*value) / 255.0).collect() }
    }

    fn at(&self, row: usize, column: usize) -> [f32; 3] {
        self.values.as_chunks().0[row * self.width + column]
    }

    /// Of 8 bits, reduced to the means of areas: `torch.nn.functional.interpolate` with `mode="area"`. A pixel that lies in two areas
    /// counts in both.
    pub fn averaged(picture: &RgbImage, width: usize, height: usize) -> Self {
        let (columns_before, rows_before) = (picture.width() as usize, picture.height() as usize);
        let span = |index: usize, from: usize, to: usize| index * from / to..((index + 1) * from).div_ceil(to);
        let lines = picture.as_raw().as_chunks::<3>().0;
        let mut values = Vec::with_capacity(width * height * 3);
        for row in 0..height {
            let rows = span(row, rows_before, height);
            for column in 0..width {
                let columns = span(column, columns_before, width);
                let mut sum = [0_u64; 3];
                for row in rows.clone() {
                    for pixel in &lines[row * columns_before..][columns.clone()] {
                        (0..3).for_each(|channel| sum[channel] += u64::from(pixel[channel]));
                    }
                }
                let whole = (rows.len() * columns.len() * 255) as f64;
                values.extend(sum.map(|sum| (sum as f64 / whole) as f32));
            }
        }
        Self { width, height, values }
    }

    /// The values at a place: -1 and 1 are the centres of the outermost pixels, beyond which the picture is reflected. As
    /// `torch.nn.functional.grid_sample` with bilinear interpolation, `padding_mode="reflection"` and `align_corners=True`.
    pub fn sample(&self, [x, y]: [f32; 2]) -> [f32; 3] {
        let (left, right, across) = between(x, self.width);
        let (top, bottom, down) = between(y, self.height);
        let weights = [
            (self.at(top, left), (1.0 - across) * (1.0 - down)),
            (self.at(top, right), across * (1.0 - down)),
            (self.at(bottom, left), (1.0 - across) * down),
            (self.at(bottom, right), across * down),
        ];
        [0, 1, 2].map(|channel| weights.iter().map(|(pixel, weight)| pixel[channel] * weight).sum())
    }
}

/// The pixels before and after a coordinate of -1 to 1 among `length`, and how far the coordinate is on its way from the first to
/// the second.
fn between(coordinate: f32, length: usize) -> (usize, usize, f32) {
    let last = (length - 1) as f32;
    let place = reflected((coordinate + 1.0) / 2.0 * last, last);
    let before = place.floor();
    let index = before as usize;
    (index, (index + 1).min(length - 1), place - before)
}

/// A place in `0..=last`, which mirrors at both ends continue.
fn reflected(place: f32, last: f32) -> f32 {
    let place = place.abs();
    if place <= last {
        return place;
    }
    if last == 0.0 {
        return 0.0;
    }
    let beyond = place % last;
    let place = if (place / last).floor() % 2.0 == 0.0 { beyond } else { last - beyond };
    // No number, where a projection has no end.
    place.clamp(0.0, last).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_continues_as_in_mirrors() {
        let places = [-5.0, -1.0, 0.0, 1.5, 3.0, 4.0, 6.5, 7.0, f32::NAN, f32::INFINITY].map(|at| reflected(at, 3.0));
        assert_eq!(places, [1.0, 1.0, 0.0, 1.5, 3.0, 2.0, 0.5, 1.0, 0.0, 0.0]);
        assert_eq!(reflected(7.0, 0.0), 0.0);
    }

    #[test]
    fn areas_overlap_where_they_share_a_pixel() {
        let picture = RgbImage::from_raw(3, 1, vec![0, 0, 0, 51, 51, 102, 102, 255, 255]).unwrap();
        assert_eq!(Pixels::averaged(&picture, 2, 1).values, [0.1, 0.1, 0.2, 0.3, 0.6, 0.7]);
    }
}
