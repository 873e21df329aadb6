//! Numbers as text.

use std::fmt;

/// A number without a fraction where it is whole, else the shortest text that is read as the same number. What is no number or
/// infinite is 0, since no format can hold it.
pub(crate) struct Number(pub(crate) f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number if !number.is_finite() => f.write_str("0"),
            number if number.fract() == 0.0 && number.abs() < 9e15 => write!(f, "{}", number as i64),
            number => write!(f, "{number}"),
        }
    }
}

/// The pixel edge of a share of a side, a 32-bit number. Of the numbers with up to three decimals, the one that gives exactly this
/// share, and if none does, the product. So a whole pixel is a whole pixel again.
pub(crate) fn pixels(share: f32, side: u32) -> f64 {
    let side = f64::from(side);
    let product = f64::from(share) * side;
    let mut scale = 1.0;
    for _ in 0..4 {
        let rounded = (product * scale).round() / scale;
        if (rounded / side) as f32 == share {
            return rounded;
        }
        scale *= 10.0;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pixels_survive_as_shares() {
        for side in [1_u32, 3, 96, 333, 1024, 65_535] {
            for pixel in (0..=side).step_by(side as usize / 64 + 1) {
                assert_eq!(pixels((f64::from(pixel) / f64::from(side)) as f32, side), f64::from(pixel));
            }
        }
        assert_eq!(pixels((10.5_f64 / 96.0) as f32, 96), 10.5);
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        let shown: Vec<String> = [3.0, -0.0, 0.25, 1e300, f64::NAN].iter().map(|n| Number(*n).to_string()).collect();
        assert_eq!(shown[..3], ["3", "0", "0.25"]);
        assert_eq!((shown[3].parse(), &*shown[4]), (Ok(1e300), "0"));
    }
}
