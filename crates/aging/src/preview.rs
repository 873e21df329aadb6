//! The preview engine: classical picture processing that needs no weights.
//!
//! It assumes that the person is 35 and draws the difference to another age: shape, wrinkles, skin and hair are smooth
//! functions of the age. Older skin gets wrinkles, hollows and spots, and its texture becomes stronger. Hair greys by a
//! pointwise curve that keeps its strands, and the face sinks. Younger skin is smoothed except at edges, and becomes
//! rosier and brighter. The head takes a child's proportions. Results are deterministic.
//!
//! [`Analysis`] holds everything about a portrait that does not depend on the age. A `Look` holds the strength of every
//! effect at an age, and all are 0 at 35. [`Preview::render`] is one pass over the pixels in Oklab and one warp.
//!
//! # Map
//!
//! | file | noun |
//! |---|---|
//! | `frame`, `thin_plate` | canonical coordinates (the eyes' distance is 1), and their smooth map to the portrait |
//! | `curves` | the course of each wrinkle, and the ages at which it starts and is complete |
//! | `wrinkles` | the relief of the wrinkles. Dynamic programming along the normals moves them to the face's creases |
//! | `shade` | the light on that relief |
//! | `marks` | hollows, spots, brows, eyes and teeth |
//! | `head`, `skin`, `guided` | the face as a disc, the skin's mask by the face's own colours, masks that follow edges |
//! | `hair` | the hairline, and the mask of the hair above it, told apart from skin and background |
//! | `shape` | the warp: landmarks that move with age (cardioidal strain for the young), spread by a spline |
//! | `look`, `oklab`, `analysis` | strengths by age, colours, the planes of a portrait |
//!
//! Every uncertainty weakens an effect. The factors are the likelihoods of skin and hair, how frontal the head is, how
//! much the hair resembles the background, and whether there is hair on both sides. Curves and spots are canonical and
//! built once. Relief and spots are as soft as the photograph: on an enlarged one, sharp lines look scratched.

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
    /// Computes what all ages share. The portrait is square, and its sides are a multiple of 4 pixels.
    pub fn analyse(&self, portrait: &RgbImage, landmarks: &Landmarks) -> Analysis {
        Analysis::new(portrait, landmarks)
    }

    /// Renders a portrait at an age in years into a panel. Ages above 100 are rendered as 100.
    ///
    /// `out` begins at the panel's first byte. Its RGB rows lie `stride` bytes apart, and the last row may be shorter.
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

    /// A simple face: a grey wall, a dark textured cap of hair, an oval of skin with pores and two eyes.
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
    fn the_source_age_is_the_identity_and_neighbouring_ages_differ_little() {
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
    fn the_result_does_not_depend_on_the_number_of_threads() {
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
        assert!((wall(&series[5]) - wall(&series[0])).abs() < 4.0, "the wall changes");
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
    fn pictures_of_one_colour_are_rendered() {
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
