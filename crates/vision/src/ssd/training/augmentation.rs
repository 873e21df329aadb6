//! Random changes of pictures and their objects: `preprocessor.py` of the Object Detection API.

use nn::Random;

use super::targets::Truth;

/// How often a crop is drawn until it covers an object.
const ATTEMPTS: usize = 100;
/// The largest value of a colour.
const WHITE: f32 = 255.0;

/// A picture with values of 0 to 255, `(height, width, 3)`, red first, and its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// Row by row.
    pub values: Vec<f32>,
    /// The objects.
    pub truths: Vec<Truth>,
}

/// A random change.
#[derive(Clone, Debug, PartialEq)]
pub enum Augmentation {
    /// Left and right change places.
    Flip {
        /// How often.
        probability: f32,
    },
    /// A number is added to all values.
    Brightness {
        /// Its largest size, in multiples of 255.
        most: f32,
    },
    /// Differences from the mean of a channel are multiplied.
    Contrast {
        /// With a number from here to there.
        range: [f32; 2],
    },
    /// Saturations are multiplied.
    Saturation {
        /// With a number from here to there.
        range: [f32; 2],
    },
    /// Hues are turned.
    Hue {
        /// The largest angle, in multiples of a whole turn.
        most: f32,
    },
    /// A part is cut out.
    Crop {
        /// One of these is drawn.
        choices: Vec<CropChoice>,
    },
}

/// Which parts of a picture can be cut out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropChoice {
    /// The least share of some object that a part covers.
    pub min_overlap: f32,
    /// The least and the largest width divided by height.
    pub aspect_ratios: [f32; 2],
    /// The least and the largest share of the picture's area.
    pub areas: [f32; 2],
    /// The least share of an object that has to lie in the part, or the object is dropped.
    pub least_kept: f32,
    /// How often the picture stays as it is.
    pub uncropped: f32,
}

impl CropChoice {
    const fn of(overlap: f32) -> Self {
        Self {
            min_overlap: overlap,
            aspect_ratios: [0.5, 2.0],
            areas: [0.1, 1.0],
            least_kept: overlap,
            uncropped: 0.15,
        }
    }

    /// Those of `ssd_random_crop` without settings.
    pub const DEFAULTS: [Self; 7] =
        [Self::of(0.0), Self::of(0.1), Self::of(0.3), Self::of(0.5), Self::of(0.7), Self::of(0.9), Self::of(1.0)];
}

impl Augmentation {
    /// Their names in a `pipeline.config`.
    pub(super) const NAMES: [&'static str; 6] = [
        "random_horizontal_flip",
        "random_adjust_brightness",
        "random_adjust_contrast",
        "random_adjust_saturation",
        "random_adjust_hue",
        "ssd_random_crop",
    ];

    /// Changes an example.
    pub fn apply(&self, example: &mut Example, random: &mut Random) {
        let mut between = |low: f32, high: f32| low + (high - low) * random.uniform() as f32;
        match self {
            Self::Flip { probability } => {
                if between(0.0, 1.0) < *probability {
                    example.flip();
                }
            }
            Self::Brightness { most } => {
                let change = between(-most, *most) * WHITE;
                example.values.iter_mut().for_each(|value| *value = (*value + change).clamp(0.0, WHITE));
            }
            Self::Contrast { range: [low, high] } => example.contrast(between(*low, *high)),
            Self::Saturation { range: [low, high] } => {
                let factor = between(*low, *high);
                example.recolour(|[hue, saturation, value]| [hue, (saturation * factor).clamp(0.0, 1.0), value]);
            }
            Self::Hue { most } => {
                let turn = between(-most, *most);
                example.recolour(|[hue, saturation, value]| [(hue + turn).rem_euclid(1.0), saturation, value]);
            }
            Self::Crop { choices } => {
                let index = ((between(0.0, 1.0) * choices.len() as f32) as usize).min(choices.len() - 1);
                let choice = choices[index];
                if between(0.0, 1.0) >= choice.uncropped
                    && let Some(part) = choice.part(example, &mut between)
                {
                    example.crop(part, choice.least_kept);
                }
            }
        }
    }
}

impl CropChoice {
    /// A part, `[top, left, bottom, right]` in pixels: `None` if none was found.
    fn part(&self, example: &Example, between: &mut impl FnMut(f32, f32) -> f32) -> Option<[usize; 4]> {
        let (height, width) = (example.height as f32, example.width as f32);
        let area = height * width;
        for _ in 0..ATTEMPTS {
            let ratio = between(self.aspect_ratios[0], self.aspect_ratios[1]);
            let tallest = height.min(width / ratio).min((self.areas[1] * area / ratio).sqrt());
            let least = (self.areas[0] * area / ratio).sqrt();
            if least > tallest {
                continue;
            }
            let down = between(least, tallest);
            let (down, across) = (down.round().max(1.0), (down * ratio).round().max(1.0));
            if down > height || across > width {
                continue;
            }
            let (top, left) = (between(0.0, height - down).floor(), between(0.0, width - across).floor());
            let part = [top, left, top + down, left + across];
            let relative = [part[0] / height, part[1] / width, part[2] / height, part[3] / width];
            let is_covered = |truth: &Truth| covered(truth.corners, relative) >= self.min_overlap;
            if example.truths.is_empty() || example.truths.iter().any(is_covered) {
                return Some(part.map(|place| place as usize));
            }
        }
        None
    }
}

/// The share of a box that lies in a part.
fn covered(corners: [f32; 4], part: [f32; 4]) -> f32 {
    let along = |first: usize, last: usize| (corners[last].min(part[last]) - corners[first].max(part[first])).max(0.0);
    let area = (corners[2] - corners[0]) * (corners[3] - corners[1]);
    if area > 0.0 { along(0, 2) * along(1, 3) / area } else { 0.0 }
}

impl Example {
    fn flip(&mut self) {
        for row in self.values.chunks_exact_mut(3 * self.width) {
            row.as_chunks_mut::<3>().0.reverse();
        }
        for truth in &mut self.truths {
            let [top, left, bottom, right] = truth.corners;
            truth.corners = [top, 1.0 - right, bottom, 1.0 - left];
        }
    }

    fn contrast(&mut self, factor: f32) {
        let pixels = self.values.as_chunks_mut::<3>().0;
        let count = pixels.len().max(1) as f64;
        for channel in 0..3 {
            let mean = (pixels.iter().map(|pixel| f64::from(pixel[channel])).sum::<f64>() / count) as f32;
            for pixel in pixels.iter_mut() {
                pixel[channel] = ((pixel[channel] - mean) * factor + mean).clamp(0.0, WHITE);
            }
        }
    }

    /// Changes hue, saturation and value, each 0 to 1.
    fn recolour(&mut self, change: impl Fn([f32; 3]) -> [f32; 3]) {
        for pixel in self.values.as_chunks_mut::<3>().0 {
            *pixel = of_hsv(change(to_hsv(pixel.map(|value| value / WHITE)))).map(|value| value * WHITE);
        }
    }

    /// Cuts out a part. Objects of which less than `least_kept` lies in it are dropped, and others are clipped.
    fn crop(&mut self, [top, left, bottom, right]: [usize; 4], least_kept: f32) {
        let (height, width) = (self.height as f32, self.width as f32);
        let part = [top as f32 / height, left as f32 / width, bottom as f32 / height, right as f32 / width];
        self.truths.retain(|truth| {
            let share = covered(truth.corners, part);
            share > 0.0 && share >= least_kept
        });
        for truth in &mut self.truths {
            let place = |value: f32, first: f32, last: f32| ((value - first) / (last - first)).clamp(0.0, 1.0);
            let [y0, x0, y1, x1] = truth.corners;
            truth.corners = [
                place(y0, part[0], part[2]),
                place(x0, part[1], part[3]),
                place(y1, part[0], part[2]),
                place(x1, part[1], part[3]),
            ];
        }
        let rows = self.values.chunks_exact(3 * self.width).take(bottom).skip(top);
        self.values = rows.flat_map(|row| row[3 * left..3 * right].iter().copied()).collect();
        (self.height, self.width) = (bottom - top, right - left);
    }
}

/// Hue, saturation and value of red, green and blue, each 0 to 1.
fn to_hsv([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let most = red.max(green).max(blue);
    let range = most - red.min(green).min(blue);
    if range <= 0.0 {
        return [0.0, 0.0, most];
    }
    let sixth = match most {
        most if most == red => ((green - blue) / range).rem_euclid(6.0),
        most if most == green => (blue - red) / range + 2.0,
        _ => (red - green) / range + 4.0,
    };
    [sixth / 6.0, range / most, most]
}

fn of_hsv([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let channel = |offset: f32| {
        let place = (offset + hue * 6.0).rem_euclid(6.0);
        value - value * saturation * place.min(4.0 - place).clamp(0.0, 1.0)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Example {
        let values = (0..6 * 8 * 3).map(|index| (index * 37 % 256) as f32).collect();
        let truth = |corners| Truth { corners, class: 1, weight: 1.0 };
        Example { height: 6, width: 8, values, truths: vec![truth([0.0, 0.0, 0.5, 0.25]), truth([0.5, 0.5, 1.0, 1.0])] }
    }

    #[test]
    fn a_flip_moves_objects_with_their_pixels() {
        let mut flipped = example();
        Augmentation::Flip { probability: 1.0 }.apply(&mut flipped, &mut Random::new(1));
        assert_eq!(flipped.truths[0].corners, [0.0, 0.75, 0.5, 1.0]);
        assert_eq!(flipped.values[..3], example().values[7 * 3..8 * 3]);
        Augmentation::Flip { probability: 1.0 }.apply(&mut flipped, &mut Random::new(2));
        assert_eq!(flipped, example());
    }

    #[test]
    fn colours_change_within_their_range() {
        let same = [
            Augmentation::Saturation { range: [1.0, 1.0] },
            Augmentation::Hue { most: 0.0 },
            Augmentation::Contrast { range: [1.0, 1.0] },
            Augmentation::Brightness { most: 0.0 },
        ];
        for augmentation in same {
            let mut changed = example();
            augmentation.apply(&mut changed, &mut Random::new(1));
            for (found, expected) in changed.values.iter().zip(example().values) {
                assert!((found - expected).abs() < 0.01, "{augmentation:?}: {found} {expected}");
            }
        }
        let mut grey = example();
        Augmentation::Saturation { range: [0.0, 0.0] }.apply(&mut grey, &mut Random::new(1));
        assert!(grey.values.as_chunks::<3>().0.iter().all(|[red, green, blue]| red == green && green == blue));
        for augmentation in [Augmentation::Brightness { most: 0.5 }, Augmentation::Contrast { range: [0.5, 2.0] }] {
            let mut changed = example();
            augmentation.apply(&mut changed, &mut Random::new(3));
            assert!(changed != example() && changed.values.iter().all(|value| (0.0..=WHITE).contains(value)));
        }
    }

    #[test]
    fn parts_cover_an_object_and_keep_those_that_lie_in_them() {
        let mut random = Random::new(7);
        let mut cropped = 0;
        for round in 0..200 {
            let choice = CropChoice { uncropped: 0.0, ..CropChoice::DEFAULTS[round % 7] };
            let mut part = example();
            Augmentation::Crop { choices: vec![choice] }.apply(&mut part, &mut random);
            assert_eq!(part.values.len(), part.height * part.width * 3);
            assert!(part.truths.iter().all(|truth| truth.corners.iter().all(|place| (0.0..=1.0).contains(place))));
            assert!(choice.min_overlap == 0.0 || !part.truths.is_empty());
            cropped += usize::from(part.height * part.width < 48);
        }
        assert!(cropped > 100);
        let mut part = example();
        part.crop([3, 4, 6, 8], 0.5);
        assert_eq!((part.height, part.width, part.truths.len()), (3, 4, 1));
        assert_eq!(part.truths[0].corners, [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(part.values[..3], example().values[(3 * 8 + 4) * 3..][..3]);
    }
}
