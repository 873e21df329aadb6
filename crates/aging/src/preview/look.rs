use super::{Analysis, SOURCE_AGE};

/// 0 below `from`, 1 above `to`, and a smooth step (3t^2 - 2t^3) between.
pub(super) fn ramp(value: f32, from: f32, to: f32) -> f32 {
    let part = ((value - from) / (to - from)).clamp(0.0, 1.0);
    part * part * (3.0 - 2.0 * part)
}

/// The strength of every effect at one age. All are 0 at [`SOURCE_AGE`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// 0 to 1 towards childhood.
    young: f32,
    /// 0 to 1 towards the age at which skin stops changing.
    old: f32,
    /// 0 to 1: the greyness of the hair.
    grey: f32,
    /// 0 to 1: the strength of the spots.
    spots: f32,
}

impl Look {
    /// The look at an age in years.
    pub(super) fn at(age: f32) -> Self {
        let source = f32::from(SOURCE_AGE);
        // Linear near the source age, so that a few years show, and flat at the ends.
        let eased = |part: f32| 1.0 - (1.0 - part.clamp(0.0, 1.0)).powf(1.6);
        Self {
            young: eased((source - age) / (source - 2.0)),
            old: eased((age - source) / (92.0 - source)),
            grey: ramp(age, source + 3.0, 82.0),
            spots: ramp(age, 52.0, 92.0),
        }
    }

    /// The colour of pixel `at` in Oklab. `shade` is the factor of the light on the skin's relief, and 1 on even skin.
    pub(super) fn pixel(&self, analysis: &Analysis, at: usize, shade: f32) -> [f32; 3] {
        let Self { young, old, grey, spots } = *self;
        let (skin, hair) = (analysis.skin.values[at], analysis.hair.values[at]);
        let original = analysis.lightness.values[at];
        let fine = original - analysis.fine_base.values[at];
        let folds = analysis.fine_base.values[at] - analysis.wide_base.values[at];

        // Dark detail looks like lines and shadows, bright detail like grain.
        let fold_gain = if folds < 0.0 { 1.25 * old - 0.9 * young } else { 0.45 * old - 0.55 * young };
        let fine_gain = if fine < 0.0 { 1.0 * old - 0.85 * young } else { 0.5 * old - 0.75 * young };
        let detail = skin * (fold_gain * bounded(folds, 0.06) + fine_gain * bounded(fine, 0.04));
        let tone = skin * (0.022 * young - 0.008 * old);
        let mut lightness = original + detail + tone;

        let (mut a, mut b) = (analysis.a.values[at], analysis.b.values[at]);
        let even = 0.5 * young * skin;
        let colours = analysis.colours;
        a += even * (analysis.even_a.values[at] - a) + colours * skin * (0.007 * young - 0.005 * old);
        b += even * (analysis.even_b.values[at] - b) + colours * skin * 0.004 * old;
        // The white of eyes and teeth is clear in the young, dull and slightly yellow in the old.
        let clear = analysis.clear.values[at];
        if clear > 0.0 {
            let white = clear * ramp(original, 0.45, 0.75);
            lightness += clear * 0.8 * young * bounded(folds, 0.05) + white * (0.025 * young - 0.03 * old);
            b += colours * white * (0.012 * old - 0.006 * young);
        }
        let pale = 1.0 - 0.17 * old * skin;
        (a, b) = (a * pale, b * pale);
        if spots > 0.0 {
            let spot = skin * spots * analysis.spots.values[at];
            lightness -= 0.05 * spot;
            b += 0.010 * colours * spot;
        }
        lightness *= 1.0 - 0.45 * old * skin * analysis.hollows.values[at];
        if shade != 1.0 {
            // Lightness is the cube root of light. Light in a crease has passed through skin, so its colour is warmer.
            let shade = 1.0 + skin * (1.0 - hair) * (shade - 1.0);
            lightness *= shade.cbrt();
            a += 0.02 * colours * (1.0 - shade).max(0.0);
            b += 0.01 * colours * (1.0 - shade).max(0.0);
        }

        if grey > 0.0 && hair > 0.0 {
            // Bright strands turn first, so half-grey hair is salt and pepper.
            let strand = (grey + 10.0 * bounded(fine, 0.03) * grey * (1.0 - grey)).clamp(0.0, 1.0);
            let part = hair * strand;
            let dark = lightness.max(0.0);
            // The curve flattens contrast where it brightens. This restores the contrast of the strands.
            let strands = 1.1 * bounded(fine, 0.08) + 0.7 * bounded(folds, 0.1);
            lightness += part * (dark.powf(analysis.grey_gamma) - dark + strands);
            let [grey_a, grey_b] = analysis.grey_tint;
            a += 0.8 * part * (grey_a - a);
            b += 0.8 * part * (grey_b - b);
        }
        [lightness, a, b]
    }
}

/// Nearly `value` where it is small, and never beyond `limit`. Strong contrasts are edges, which age does not amplify.
fn bounded(value: f32, limit: f32) -> f32 {
    value / (1.0 + (value / limit).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strengths_are_0_at_the_source_age_and_monotone() {
        let look = Look::at(35.0);
        assert_eq!((look.young, look.old, look.grey), (0.0, 0.0, 0.0));
        for age in 0..100u8 {
            let (now, next) = (Look::at(f32::from(age)), Look::at(f32::from(age + 1)));
            assert!(now.young >= next.young && now.old <= next.old && now.grey <= next.grey);
            assert!((now.young - next.young).abs() < 0.06 && (now.old - next.old).abs() < 0.06);
        }
    }
}
