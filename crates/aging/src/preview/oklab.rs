//! The colour space Oklab (Ottosson 2020, <https://bottosson.github.io/posts/oklab>). Lightness is 0 to 1, a points to
//! red and b to yellow. Both are 0 for grey and about 0.1 for skin.

use std::sync::LazyLock;

/// sRGB to linear light (IEC 61966-2-1), for each 8-bit level.
static LINEAR: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|level| {
        let value = level as f32 / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
});

static ENCODER: LazyLock<Encoder> = LazyLock::new(Encoder::new);

/// Lightness, a and b of an sRGB pixel.
pub(super) fn lab(rgb: [u8; 3]) -> [f32; 3] {
    let [red, green, blue] = rgb.map(|level| LINEAR[usize::from(level)]);
    let long = (0.412_221_46 * red + 0.536_332_55 * green + 0.051_445_995 * blue).cbrt();
    let medium = (0.211_903_5 * red + 0.680_699_5 * green + 0.107_396_96 * blue).cbrt();
    let short = (0.088_302_46 * red + 0.281_718_85 * green + 0.629_978_7 * blue).cbrt();
    [
        0.210_454_26 * long + 0.793_617_8 * medium - 0.004_072_047 * short,
        1.977_998_5 * long - 2.428_592_2 * medium + 0.450_593_7 * short,
        0.025_904_037 * long + 0.782_771_77 * medium - 0.808_675_77 * short,
    ]
}

/// Converts Oklab to 8-bit sRGB with a table of the transfer curve.
pub(super) struct Encoder {
    levels: Vec<u8>,
}

impl Encoder {
    // The curve is steepest near black, where a step of the table is a fifth of a level.
    const STEPS: usize = 1 << 14;

    fn new() -> Self {
        let level = |step| {
            let value = step as f32 / Self::STEPS as f32;
            let encoded = if value <= 0.003_130_8 { value * 12.92 } else { 1.055 * value.powf(1.0 / 2.4) - 0.055 };
            (encoded * 255.0).round() as u8
        };
        Self { levels: (0..=Self::STEPS).map(level).collect() }
    }

    /// The shared encoder.
    pub(super) fn get() -> &'static Self {
        &ENCODER
    }

    /// The sRGB pixel of a colour. Colours beyond sRGB are clipped per channel.
    pub(super) fn rgb(&self, [lightness, a, b]: [f32; 3]) -> [u8; 3] {
        let long = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
        let medium = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
        let short = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
        let linear = [
            4.076_741_7 * long - 3.307_711_6 * medium + 0.230_969_94 * short,
            -1.268_438 * long + 2.609_757_4 * medium - 0.341_319_38 * short,
            -0.004_196_086_3 * long - 0.703_418_6 * medium + 1.707_614_7 * short,
        ];
        linear.map(|value| self.levels[(value.clamp(0.0, 1.0) * Self::STEPS as f32 + 0.5) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_survives_the_round_trip_within_a_level() {
        let levels = || (0..=255u8).step_by(15);
        for red in levels() {
            for green in levels() {
                for blue in levels() {
                    let back = Encoder::get().rgb(lab([red, green, blue]));
                    let near = back.iter().zip([red, green, blue]).all(|(back, level)| back.abs_diff(level) <= 1);
                    assert!(near, "{red} {green} {blue} {back:?}");
                }
            }
        }
    }

    #[test]
    fn white_and_red_have_their_published_values() {
        let near = |found: [f32; 3], expected: [f32; 3]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3);
        assert!(near(lab([255; 3]), [1.0, 0.0, 0.0]));
        // sRGB red, by Ottosson's converter.
        assert!(near(lab([255, 0, 0]), [0.62796, 0.22486, 0.12585]));
    }
}
