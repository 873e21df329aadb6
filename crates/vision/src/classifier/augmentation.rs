//! Transforms drawn at random, for training.

use super::transform::{Transform, Zoom};

/// How far random transforms may go. The default is that of fastai's `get_transforms`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// The probability that left and right change places.
    pub flip: f64,
    /// The most that an edge grows or shrinks at each of its ends: 1 is half a side.
    pub warp: f64,
    /// The most degrees, in both directions.
    pub rotate: f64,
    /// The largest scale, 1 and more.
    pub zoom: f64,
    /// The most that brightness and contrast change, 0 to 1 without 1.
    pub lighting: f64,
    /// The probability of each of warp, rotation and zoom.
    pub affine_probability: f64,
    /// The probability of each of brightness and contrast.
    pub lighting_probability: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            flip: 0.5,
            warp: 0.2,
            rotate: 10.0,
            zoom: 1.1,
            lighting: 0.2,
            affine_probability: 0.75,
            lighting_probability: 0.75,
        }
    }
}

impl Augmentation {
    /// Only the place of the crop is random.
    pub const CROP: Self = Self {
        flip: 0.0,
        warp: 0.0,
        rotate: 0.0,
        zoom: 1.0,
        lighting: 0.0,
        affine_probability: 0.0,
        lighting_probability: 0.0,
    };

    /// Draws a transform. `uniform` returns numbers of 0 to 1, without 1. Each transform draws as many.
    pub fn draw(&self, uniform: &mut impl FnMut() -> f64) -> Transform {
        let crop = [uniform(), uniform()];
        let flip = uniform() < self.flip;
        let (affine, lighting) = (self.affine_probability, self.lighting_probability);
        let warp = (uniform() < affine, [0; 4].map(|_| between(-self.warp, self.warp, uniform())));
        let rotate = (uniform() < affine, between(-self.rotate, self.rotate, uniform()));
        let scale = between(1.0, self.zoom, uniform());
        let zoom = (uniform() < affine, Zoom { scale, place: [uniform(), uniform()] });
        let change = between(0.5 * (1.0 - self.lighting), 0.5 * (1.0 + self.lighting), uniform());
        let brightness = (uniform() < lighting, change);
        // As likely to be below 1 as above.
        let most = -(1.0 - self.lighting).ln();
        let contrast = (uniform() < lighting, between(-most, most, uniform()).exp());
        Transform {
            crop,
            flip,
            warp: chosen(warp),
            rotate: chosen(rotate),
            zoom: chosen(zoom),
            brightness: chosen(brightness),
            contrast: chosen(contrast),
        }
    }
}

fn between(low: f64, high: f64, share: f64) -> f64 {
    low + (high - low) * share
}

fn chosen<T>((is_chosen, value): (bool, T)) -> Option<T> {
    is_chosen.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_stay_within_their_limits_and_happen_as_often_as_they_should() {
        let mut state = 1_u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let drawn: Vec<Transform> = (0..4000).map(|_| Augmentation::default().draw(&mut uniform)).collect();
        let share = |is: &dyn Fn(&Transform) -> bool| drawn.iter().filter(|drawn| is(drawn)).count() as f64 / 4000.0;
        let often = |what: &str, share: f64, expected: f64| assert!((share - expected).abs() < 0.03, "{what}: {share}");
        often("flip", share(&|drawn| drawn.flip), 0.5);
        often("warp", share(&|drawn| drawn.warp.is_some()), 0.75);
        often("rotate", share(&|drawn| drawn.rotate.is_some()), 0.75);
        often("zoom", share(&|drawn| drawn.zoom.is_some()), 0.75);
        often("brightness", share(&|drawn| drawn.brightness.is_some()), 0.75);
        often("contrast", share(&|drawn| drawn.contrast.is_some()), 0.75);
        often("low contrast", share(&|drawn| drawn.contrast.is_some_and(|contrast| contrast < 1.0)), 0.375);
        for drawn in drawn {
            assert!(drawn.warp.iter().flatten().all(|moved| moved.abs() <= 0.2));
            assert!(drawn.rotate.is_none_or(|degrees| degrees.abs() <= 10.0));
            assert!(drawn.zoom.is_none_or(|zoom| (1.0..1.1).contains(&zoom.scale)));
            assert!(drawn.brightness.is_none_or(|change| (0.4..0.6).contains(&change)));
            assert!(drawn.contrast.is_none_or(|scale| (0.8..1.25).contains(&scale)));
        }
        let plain = Augmentation::CROP.draw(&mut || 0.5);
        assert_eq!(plain, Transform::default());
    }
}
