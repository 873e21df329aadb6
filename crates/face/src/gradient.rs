use pulp::{Simd, WithSimd};

use crate::packed::channel;

/// The number of directions that gradients are rounded to: one every 20 degrees, the first towards rising columns.
pub(crate) const DIRECTIONS: usize = 18;

/// The number of columns that dlib's vector code computes at once. The columns left over at the right break ties
/// differently.
const GROUP: usize = 8;

/// Computes the gradients of a row of pixels: length and direction (0 to 17), by central differences.
///
/// Each gradient is that of the colour channel that changes most. The first and the last pixel have none, so the
/// results are two shorter than the rows. This is `get_gradient` with the rounding of directions in
/// `dlib/image_transforms/fhog.h`.
pub(crate) struct Gradients<'a> {
    /// The row above, the row itself, the row below.
    pub(crate) rows: [&'a [u32]; 3],
    pub(crate) length: &'a mut [f32],
    pub(crate) direction: &'a mut [u32],
}

impl WithSimd for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { rows: [above, row, below], length, direction } = self;
        let count = length.len();
        let (left, right) = (&row[..count], &row[2..count + 2]);
        let (above, below) = (&above[1..count + 1], &below[1..count + 1]);
        let direction = &mut direction[..count];
        let grouped = count / GROUP * GROUP;
        for i in 0..grouped {
            (length[i], direction[i]) = of_pixel::<true>(left[i], right[i], above[i], below[i]);
        }
        for i in grouped..count {
            (length[i], direction[i]) = of_pixel::<false>(left[i], right[i], above[i], below[i]);
        }
    }
}

/// The gradient of one channel: x, y, and the square of its length.
type Change = (f32, f32, f32);

/// The gradient of one pixel. Among channels that change equally, `LAST_OF_EQUALS` chooses the last one, else the
/// first.
#[inline(always)]
fn of_pixel<const LAST_OF_EQUALS: bool>(left: u32, right: u32, above: u32, below: u32) -> (f32, u32) {
    let red = of_channel::<0>(left, right, above, below);
    let green = of_channel::<1>(left, right, above, below);
    let blue = of_channel::<2>(left, right, above, below);
    let (x, y, squared) = stronger::<LAST_OF_EQUALS>(stronger::<LAST_OF_EQUALS>(red, green), blue);
    (squared.sqrt(), snap(x, y))
}

#[inline(always)]
fn of_channel<const INDEX: u32>(left: u32, right: u32, above: u32, below: u32) -> Change {
    let x = channel::<INDEX>(right) - channel::<INDEX>(left);
    let y = channel::<INDEX>(below) - channel::<INDEX>(above);
    (x, y, x * x + y * y)
}

#[inline(always)]
fn stronger<const LAST_OF_EQUALS: bool>(first: Change, last: Change) -> Change {
    let keep = if LAST_OF_EQUALS { first.2 > last.2 } else { first.2 >= last.2 };
    if keep { first } else { last }
}

/// The nearest of [`DIRECTIONS`], for whole numbers from -255 to 255.
///
/// dlib takes the largest scalar product with nine unit vectors of four decimals, or with their opposites. Within a
/// quadrant, the result is the number of borders between neighbouring directions that the gradient has passed. A border
/// is where the two products are equal. Its coefficients are whole numbers, so no comparison is rounded.
#[inline(always)]
fn snap(x: f32, y: f32) -> u32 {
    let (across, along) = (x.abs(), y.abs());
    let turned = (603.0 * across < 3420.0 * along) as u32
        + (1737.0 * across < 3008.0 * along) as u32
        + (2660.0 * across < 2232.0 * along) as u32
        + (3264.0 * across < 1188.0 * along) as u32;
    // Straight up belongs to the quadrant on the left, since the first of two equal products counts.
    let (downward, mirrored) = (y >= 0.0, if y >= 0.0 { x < 0.0 } else { x > 0.0 });
    let base = if downward { 0 } else { 9 };
    let direction = base + if mirrored { 9 - turned } else { turned };
    if direction == 18 { 0 } else { direction }
}

#[cfg(test)]
mod tests {
    use pulp::Arch;

    use super::*;

    /// The definition: the largest scalar product, the first of equals.
    fn by_definition(x: f32, y: f32) -> u32 {
        let units: [[f32; 2]; 9] = [
            [1.0, 0.0],
            [0.9397, 0.3420],
            [0.7660, 0.6428],
            [0.5, 0.8660],
            [0.1736, 0.9848],
            [-0.1736, 0.9848],
            [-0.5, 0.8660],
            [-0.7660, 0.6428],
            [-0.9397, 0.3420],
        ];
        let (mut best, mut direction) = (0.0, 0);
        for (index, unit) in (0..).zip(units) {
            let product = x * unit[0] + y * unit[1];
            for (product, index) in [(product, index), (-product, index + 9)] {
                if product > best {
                    (best, direction) = (product, index);
                }
            }
        }
        direction
    }

    #[test]
    fn every_gradient_snaps_to_the_direction_that_dlib_defines() {
        for x in -255..=255 {
            for y in -255..=255 {
                let (x, y) = (x as f32, y as f32);
                assert_eq!(snap(x, y), by_definition(x, y), "{x} {y}");
            }
        }
    }

    #[test]
    fn ties_between_channels_depend_on_the_column() {
        let rgb = |red: u8, green: u8, blue: u8| u32::from_le_bytes([red, green, blue, 0]);
        // In all 30 pixels, red rises by 10 to the right, green by 10 downwards, blue by 10 upwards.
        let width = 30;
        let row: Vec<u32> = (0..width).map(|x| rgb(x * 5, 100, 100)).collect();
        let above: Vec<u32> = (0..width).map(|x| rgb(x * 5, 95, 105)).collect();
        let below: Vec<u32> = (0..width).map(|x| rgb(x * 5, 105, 95)).collect();
        let (mut length, mut direction) = (vec![0.0; 28], vec![0; 28]);
        let rows = [&above[..], &row[..], &below[..]];
        Arch::new().dispatch(Gradients { rows, length: &mut length, direction: &mut direction });
        assert!(length.iter().all(|&length| length == 10.0));
        // The 24 pixels in groups take the last channel, blue, which points upwards. The other four take red.
        assert!(direction[..24].iter().all(|&direction| direction == 13), "{direction:?}");
        assert!(direction[24..].iter().all(|&direction| direction == 0), "{direction:?}");
    }
}
