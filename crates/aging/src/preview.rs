//! The preview engine: shape, wrinkles, skin and hair as smooth functions of the age, by classical picture processing.
//!
//! Needs no weights. Older skin folds where faces fold, hollows, and shows more of its own texture and spots; hair greys by
//! a pointwise curve that leaves its strands; the face sinks. Younger skin is smoothed where edges allow, rosier and
//! brighter, and the head takes a child's proportions. Deterministic.

mod analysis;
mod curves;
mod frame;
mod guided;
mod hair;
mod head;
mod look;
mod marks;
mod oklab;
mod plane;
mod shade;
mod shape;
mod skin;
mod thin_plate;
mod wrinkles;

use face::Landmarks;
use image::RgbImage;
use rayon::prelude::*;

pub use analysis::Analysis;
use look::Look;
use shade::Shade;

/// The engine without weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Preview;

/// The age at which a portrait stays as it is, in years.
pub const SOURCE_AGE: u8 = 35;

impl Preview {
    /// What every age needs of a portrait, a square with sides of multiples of 4 pixels, and of its landmarks.
    pub fn analyse(&self, portrait: &RgbImage, landmarks: &Landmarks) -> Analysis {
        Analysis::new(portrait, landmarks)
    }

    /// Renders a portrait at an age in years (beyond 100 as 100) into a panel.
    ///
    /// `out` begins at the panel's first byte; its rows of RGB lie `stride` bytes apart. The last may be shorter.
    pub fn render(&self, analysis: &Analysis, age: u8, out: &mut [u8], stride: usize) {
        let years = f32::from(age.min(100));
        let look = Look::at(years);
        let encode = oklab::Encoder::get();
        let (width, height) = (analysis.width(), analysis.height());
        let relief = analysis.wrinkles.at(years).softened(analysis.softness);
        let shade = Shade::of(&relief, analysis.light, analysis.unit);
        let painted = |x: usize, y: usize| encode.rgb(look.pixel(analysis, y * width + x, shade.at(x, y)));
        match analysis.shape.at(years) {
            None => fill(out, stride, width, height, painted),
            Some(warp) => {
                let mut flat = RgbImage::new(width as u32, height as u32);
                fill(&mut flat, 3 * width, width, height, painted);
                fill(out, stride, width, height, |x, y| warp.pixel(&flat, x, y));
            }
        }
    }
}

/// Sets every pixel of a picture whose rows lie `stride` bytes apart.
fn fill(out: &mut [u8], stride: usize, width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 3] + Sync) {
    out.par_chunks_mut(stride).take(height).enumerate().for_each(|(y, row)| {
        for (x, to) in row.as_chunks_mut::<3>().0.iter_mut().take(width).enumerate() {
            *to = pixel(x, y);
        }
    });
}

/// Landmarks of a frontal face in the middle of a panel, for tests.
#[cfg(test)]
pub(crate) fn face_like() -> Landmarks {
    let place = |number| {
        let [u, v] = frame::Frame::canonical(number);
        face::Point { x: 512.0 + 230.0 * u, y: 480.0 + 230.0 * v }
    };
    Landmarks(std::array::from_fn(place))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    /// A face of sorts: a grey wall, a dark textured cap of hair, an oval of skin with pores and two eyes.
    pub(super) fn face() -> RgbImage {
        RgbImage::from_fn(1024, 1024, |x, y| {
            let (u, v) = ((x as f32 - 512.0) / 300.0, (y as f32 - 540.0) / 380.0);
            let grain = ((x * 7919 + y * 104_729 + x * y) % 17) as i16 - 8;
            let eye = |at: f32| ((u - at).powi(2) + ((v + 0.15) * 1.4).powi(2)) < 0.008;
            let colour: [i16; 3] = if eye(-0.38) || eye(0.38) {
                [40, 30, 28]
            } else if u * u + v * v < 1.0 {
                [214, 160, 132]
            } else if v < 0.0 && u * u / 1.7 + v * v / 1.5 < 1.0 {
                [52, 38, 30]
            } else {
                [150, 152, 156]
            };
            Rgb(colour.map(|value| (value + grain) as u8))
        })
    }

    fn aged(analysis: &Analysis, age: u8) -> RgbImage {
        let mut out = vec![0; 1024 * 1024 * 3];
        Preview.render(analysis, age, &mut out, 3 * 1024);
        RgbImage::from_raw(1024, 1024, out).unwrap()
    }

    /// Mean RGB, and its mean deviation from the mean, of a 60 x 40 patch.
    fn patch(picture: &RgbImage, left: u32, top: u32) -> ([f32; 3], f32) {
        let pixels: Vec<[f32; 3]> =
            (0..2400).map(|at| picture.get_pixel(left + at % 60, top + at / 60).0.map(f32::from)).collect();
        let mean = [0, 1, 2].map(|channel| pixels.iter().map(|pixel| pixel[channel]).sum::<f32>() / 2400.0);
        (mean, pixels.iter().map(|pixel| (pixel[1] - mean[1]).abs()).sum::<f32>() / 2400.0)
    }

    fn saturation([red, _, blue]: [f32; 3]) -> f32 {
        (red - blue) / red
    }

    #[test]
    fn the_source_age_is_the_identity_and_its_neighbours_are_near() {
        let portrait = face();
        let analysis = Preview.analyse(&portrait, &face_like());
        let furthest = |age| {
            let pairs = aged(&analysis, age).into_raw().into_iter().zip(portrait.as_raw());
            pairs.map(|(aged, original)| aged.abs_diff(*original)).max().unwrap()
        };
        assert!(furthest(SOURCE_AGE) <= 1);
        assert!(furthest(34) <= 6 && furthest(36) <= 6);
    }

    #[test]
    fn is_deterministic_whatever_the_number_of_threads() {
        let portrait = face();
        let render = || aged(&Preview.analyse(&portrait, &face_like()), 75);
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert!(render() == single.install(render));
    }

    #[test]
    fn hair_greys_and_skin_pales_monotonically() {
        let analysis = Preview.analyse(&face(), &face_like());
        let series: Vec<RgbImage> = [35, 45, 55, 65, 75, 90].map(|age| aged(&analysis, age)).into();
        for pair in series.windows(2) {
            let (hair, hair_later) = (patch(&pair[0], 480, 110).0, patch(&pair[1], 480, 110).0);
            assert!(hair_later[1] >= hair[1] - 0.05 && saturation(hair_later) <= saturation(hair) + 1e-3);
            let (cheek, cheek_later) = (patch(&pair[0], 580, 600), patch(&pair[1], 580, 600));
            assert!(saturation(cheek_later.0) <= saturation(cheek.0) + 1e-3);
        }
        let (first, last) = (patch(&series[0], 480, 110).0, patch(&series[5], 480, 110).0);
        assert!(last[1] > first[1] + 25.0 && saturation(last) < 0.5 * saturation(first), "{first:?} {last:?}");
        let wall = |picture: &RgbImage| patch(picture, 20, 900).0[1];
        assert!((wall(&series[5]) - wall(&series[0])).abs() < 4.0, "the wall stays");
    }

    #[test]
    fn skin_smooths_and_brightens_towards_childhood() {
        let analysis = Preview.analyse(&face(), &face_like());
        let series: Vec<_> = [35, 28, 20, 10, 0].map(|age| patch(&aged(&analysis, age), 580, 600)).into();
        for pair in series.windows(2) {
            assert!(pair[1].1 <= pair[0].1 && pair[1].0[0] >= pair[0].0[0] - 0.05, "{series:?}");
        }
        assert!(series[4].1 < 0.7 * series[0].1);
    }

    #[test]
    fn any_picture_works() {
        for colour in [[0, 0, 0], [255, 255, 255], [0, 0, 255], [214, 160, 132]] {
            let picture = RgbImage::from_pixel(1024, 1024, Rgb(colour));
            let analysis = Preview.analyse(&picture, &face_like());
            for age in [0, 35, 100, 255] {
                let mean = patch(&aged(&analysis, age), 500, 500).0;
                assert!((mean[1] - f32::from(colour[1])).abs() < 60.0);
            }
        }
    }
}
