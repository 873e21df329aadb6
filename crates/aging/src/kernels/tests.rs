//! Against sums written out, in double precision, on maps of odd sizes and borders.

use std::process::Command;
use std::sync::Arc;

use super::arch::NARROWER;
use super::around::{Epilogue, Prologue};
use super::filtering::{F23, F43, Filtering, Half};
use super::maps::Extent;
use super::{Convolution, Direct, Excite, Nested, Scale, Styled, ToRgb, Upsample, enlarge};

/// Numbers between -1 and 1 that look random.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Maps, weights and what goes around, of these sizes.
struct Case {
    outputs: usize,
    inputs: usize,
    extent: Extent,
    maps: Vec<f32>,
    weights: Vec<f32>,
    prologue: Prologue,
    epilogue: Epilogue,
}

impl Case {
    fn new([outputs, inputs]: [usize; 2], taps: usize, extent: Extent, out_pixels: usize) -> Self {
        Self {
            outputs,
            inputs,
            extent,
            maps: numbers(inputs * extent.pixels(), 1),
            weights: numbers(outputs * inputs * taps, 2),
            prologue: Prologue { scale: Some(numbers(inputs, 3).into()), shift: Some(numbers(inputs, 4).into()) },
            epilogue: Epilogue {
                scale: Some(numbers(outputs, 5).into()),
                noise: (extent.images == 1).then(|| numbers(out_pixels, 6).into()),
                shift: Some(numbers(outputs, 7).into()),
                slope: Some(numbers(outputs, 8).into()),
                gain: Some(1.5),
            },
        }
    }

    /// The value of an input, after the prologue; zero beyond the edge.
    fn input(&self, image: usize, row: isize, column: isize, channel: usize) -> f64 {
        let Extent { height, width, .. } = self.extent;
        if !(0..height as isize).contains(&row) || !(0..width as isize).contains(&column) {
            return 0.0;
        }
        let pixel = (image * height + row as usize) * width + column as usize;
        let of = |values: &Option<Arc<[f32]>>| values.as_ref().map(|values| f64::from(values[channel]));
        let value = f64::from(self.maps[pixel * self.inputs + channel]);
        value * of(&self.prologue.scale).unwrap_or(1.0) + of(&self.prologue.shift).unwrap_or(0.0)
    }

    fn finished(&self, pixel: usize, channel: usize, sum: f64) -> f64 {
        let of = |values: &Option<Arc<[f32]>>, index: usize| values.as_ref().map(|values| f64::from(values[index]));
        let Epilogue { scale, noise, shift, slope, .. } = &self.epilogue;
        let noise = of(noise, pixel).unwrap_or(0.0);
        let value = sum * of(scale, channel).unwrap() + noise + of(shift, channel).unwrap();
        1.5 * if value < 0.0 { value * of(slope, channel).unwrap() } else { value }
    }

    /// A convolution, written out.
    fn convolved(&self, side: usize, stride: usize) -> Vec<f64> {
        let (height, width) = (self.extent.height.div_ceil(stride), self.extent.width.div_ceil(stride));
        let mut values = Vec::new();
        for pixel in 0..self.extent.images * height * width {
            let (image, place) = (pixel / (height * width), pixel % (height * width));
            let (row, column) = ((place / width * stride) as isize, (place % width * stride) as isize);
            let inputs: Vec<f64> = (0..self.inputs * side * side)
                .map(|index| {
                    let (input, tap) = (index / (side * side), index % (side * side));
                    let half = (side / 2) as isize;
                    let (y, x) = ((tap / side) as isize - half, (tap % side) as isize - half);
                    self.input(image, row + y, column + x, input)
                })
                .collect();
            for output in 0..self.outputs {
                let weights = &self.weights[output * inputs.len()..];
                let sum = inputs.iter().zip(weights).map(|(input, weight)| input * f64::from(*weight)).sum();
                values.push(self.finished(place, output, sum));
            }
        }
        values
    }

    /// A transposed convolution of stride 2 and a blur, written out, of one map.
    fn upsampled(&self) -> Vec<f64> {
        let Extent { height, width, .. } = self.extent;
        let blur = [0.25, 0.75, 0.75, 0.25];
        let mut values = vec![0.0; 4 * height * width * self.outputs];
        for output in 0..self.outputs {
            let (tall, wide) = (2 * height + 1, 2 * width + 1);
            let mut transposed = vec![0.0; tall * wide];
            for input in 0..self.inputs {
                for pixel in 0..height * width {
                    let (row, column) = (pixel / width, pixel % width);
                    let value = self.input(0, row as isize, column as isize, input);
                    for tap in 0..9 {
                        let weight = f64::from(self.weights[(output * self.inputs + input) * 9 + tap]);
                        transposed[(2 * row + tap / 3) * wide + 2 * column + tap % 3] += weight * value;
                    }
                }
            }
            for pixel in 0..4 * height * width {
                let (row, column) = (pixel / (2 * width), pixel % (2 * width));
                let mut sum = 0.0;
                for (y, first) in blur.iter().enumerate() {
                    for (x, second) in blur.iter().enumerate() {
                        let (Some(y), Some(x)) = ((row + y).checked_sub(1), (column + x).checked_sub(1)) else {
                            continue;
                        };
                        if y < tall && x < wide {
                            sum += first * second * transposed[y * wide + x];
                        }
                    }
                }
                values[pixel * self.outputs + output] = self.finished(pixel, output, sum);
            }
        }
        values
    }
}

#[track_caller]
fn close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() <= tolerance, "{what}: {found}, not {expected}, at {index}");
    }
}

/// Output and input channels.
const CHANNELS: [[usize; 2]; 4] = [[16, 16], [32, 16], [48, 32], [112, 48]];

const SIZES: [[usize; 2]; 11] =
    [[1, 1], [2, 3], [4, 4], [5, 8], [16, 16], [9, 61], [7, 64], [12, 67], [3, 140], [70, 9], [41, 35]];

/// Every size, as one image, and some as two.
fn extents() -> impl Iterator<Item = Extent> {
    let one = SIZES.map(|[height, width]| Extent { images: 1, height, width });
    let two = [[1, 1], [5, 3], [8, 8], [13, 6]].map(|[height, width]| Extent { images: 2, height, width });
    one.into_iter().chain(two)
}

fn keeps_any_size<F: Filtering>() {
    for channels in CHANNELS {
        for extent in extents() {
            let mut case = Case::new(channels, 9, extent, extent.pixels());
            let mut out = vec![f32::NAN; channels[0] * extent.pixels()];
            let same = Nested::<F>::new(&case.weights, channels[0], channels[1]);
            same.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.convolved(3, 1), 2e-4, &format!("{channels:?} channels of {extent:?}"));
            case.prologue = Prologue::default();
            same.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.convolved(3, 1), 2e-4, &format!("{channels:?} channels of {extent:?} alone"));
        }
    }
}

#[test]
fn f43_on_any_size() {
    keeps_any_size::<F43>();
}

#[test]
fn f23_on_any_size() {
    keeps_any_size::<F23>();
}

#[test]
fn half_on_any_size() {
    for channels in CHANNELS {
        for extent in extents() {
            let half = Nested::<Half>::new(&numbers(9 * channels[0] * channels[1], 2), channels[0], channels[1]);
            let out_pixels = half.out(extent).pixels();
            let case = Case::new(channels, 9, extent, out_pixels);
            let mut out = vec![f32::NAN; channels[0] * out_pixels];
            half.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.convolved(3, 2), 1e-4, &format!("{channels:?} channels of {extent:?}"));
        }
    }
}

#[test]
fn direct_on_any_size() {
    for channels in [[16, 16], [7, 16], [35, 32], [112, 48]] {
        for extent in extents() {
            for (side, stride) in [(1_usize, 1_usize), (1, 2), (3, 1), (3, 2)] {
                let weights = numbers(channels[0] * channels[1] * side * side, 2);
                let direct = Direct::new(&weights, channels, side, stride);
                let out_pixels = direct.out(extent).pixels();
                let case = Case::new(channels, side * side, extent, out_pixels);
                let mut out = vec![f32::NAN; channels[0] * out_pixels];
                direct.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
                let what = format!("{channels:?} channels of {extent:?}, {side}, {stride}");
                close(&out, &case.convolved(side, stride), 1e-4, &what);
            }
        }
    }
}

#[test]
fn upsample_on_any_size() {
    for channels in CHANNELS {
        for [height, width] in [[1, 1], [2, 3], [4, 4], [5, 8], [9, 21], [16, 16], [30, 3]] {
            let extent = Extent { images: 1, height, width };
            let case = Case::new(channels, 9, extent, 4 * extent.pixels());
            let mut out = vec![f32::NAN; channels[0] * 4 * extent.pixels()];
            let upsample = Upsample::new(&case.weights, channels[0], channels[1]);
            upsample.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.upsampled(), 1e-4, &format!("{channels:?} channels of {extent:?}"));
        }
    }
}

#[test]
fn an_image_does_not_depend_on_its_neighbours() {
    let extent = Extent { images: 3, height: 9, width: 6 };
    let channels = [32, 16];
    let weights = numbers(9 * channels[0] * channels[1], 2);
    let (same, half) = (Nested::<F43>::new(&weights, 32, 16), Nested::<Half>::new(&weights, 32, 16));
    let direct = Direct::new(&weights, channels, 3, 2);
    let maps = numbers(extent.pixels() * channels[1], 1);
    let (before, after) = (Prologue::default(), Epilogue::default());
    type Forward<'a> = &'a dyn Fn(&[f32], Extent, &mut [f32]);
    let forwards: [(Forward, Extent); 3] = [
        (&|maps, extent, out| same.forward(maps, extent, &before, &after, out), same.out(extent)),
        (&|maps, extent, out| half.forward(maps, extent, &before, &after, out), half.out(extent)),
        (&|maps, extent, out| direct.forward(maps, extent, &before, &after, out), direct.out(extent)),
    ];
    for (forward, out_extent) in forwards {
        let mut together = vec![0.0; out_extent.pixels() * channels[0]];
        forward(&maps, extent, &mut together);
        let alone = maps.chunks_exact(maps.len() / 3).flat_map(|map| {
            let mut out = vec![0.0; together.len() / 3];
            forward(map, Extent { images: 1, ..extent }, &mut out);
            out
        });
        assert_eq!(alone.collect::<Vec<f32>>(), together);
    }
}

#[test]
fn excite_weighs_channels_and_adds_every_other_pixel() {
    for stride in [1, 2] {
        let (extent, channels, squeezed) = (Extent { images: 2, height: 3, width: 5 }, 32, 2);
        let other_extent = Extent { images: 2, height: 3 * stride, width: 5 * stride };
        let (maps, others) = (numbers(extent.pixels() * channels, 1), numbers(other_extent.pixels() * channels, 2));
        let (fc1, fc2) = (numbers(squeezed * channels, 3), numbers(channels * squeezed, 4));
        let mut out = vec![f32::NAN; maps.len()];
        let excite = Excite::new(channels, fc1.clone(), fc2.clone());
        excite.forward(&maps, extent, (&others, other_extent), stride, &mut out);

        let mut expected = Vec::new();
        for (image, maps) in maps.chunks_exact(15 * channels).enumerate() {
            let mean =
                |channel: usize| maps[channel..].iter().step_by(channels).map(|v| f64::from(*v)).sum::<f64>() / 15.0;
            let unit = |unit: usize| {
                (0..channels).map(|c| f64::from(fc1[unit * channels + c]) * mean(c)).sum::<f64>().max(0.0)
            };
            let units: Vec<f64> = (0..squeezed).map(unit).collect();
            for pixel in 0..15 {
                for channel in 0..channels {
                    let sum: f64 = (0..squeezed).map(|u| f64::from(fc2[channel * squeezed + u]) * units[u]).sum();
                    let (y, x) = (pixel / 5 * stride, pixel % 5 * stride);
                    let other = ((image * 3 * stride + y) * 5 * stride + x) * channels + channel;
                    let value = f64::from(maps[pixel * channels + channel]) / (1.0 + (-sum).exp());
                    expected.push(value + f64::from(others[other]));
                }
            }
        }
        close(&out, &expected, 1e-5, &format!("stride {stride}"));
    }
}

#[test]
fn corners_stay_corners_when_maps_are_enlarged() {
    let (from, to) = (Extent { images: 2, height: 2, width: 3 }, Extent { images: 2, height: 4, width: 5 });
    let (maps, others) = (numbers(from.pixels() * 16, 1), numbers(to.pixels() * 16, 2));
    let mut out = vec![f32::NAN; others.len()];
    enlarge::add_enlarged(&maps, from, &others, to, &mut out);
    let value =
        |image: usize, y: usize, x: usize, channel: usize| f64::from(maps[((image * 2 + y) * 3 + x) * 16 + channel]);
    let mut expected = Vec::new();
    for pixel in 0..to.pixels() {
        let (image, y, x) = (pixel / 20, pixel / 5 % 4, pixel % 5);
        let (down, across) = (y as f64 / 3.0, x as f64 / 2.0);
        let (left, right) = (across.floor() as usize, (across.floor() as usize + 1).min(2));
        for channel in 0..16 {
            let row = |y| {
                let share = across.fract();
                value(image, y, left, channel) * (1.0 - share) + value(image, y, right, channel) * share
            };
            let enlarged = row(0) * (1.0 - down) + row(1) * down;
            expected.push(enlarged + f64::from(others[pixel * 16 + channel]));
        }
    }
    close(&out, &expected, 1e-5, "enlarged");
}

#[test]
fn colours_are_added_to_those_of_the_scale_before() {
    for [height, width] in [[2, 2], [4, 6], [6, 150]] {
        let extent = Extent { images: 1, height, width };
        let (map, weights) = (numbers(extent.pixels() * 32, 1), numbers(3 * 32, 2));
        let (scale, bias) = (numbers(32, 3), [0.5, -0.25, 0.125]);
        let before = numbers(extent.pixels() / 4 * 3, 4);
        let prologue = Prologue { scale: Some(scale.clone().into()), shift: None };
        let mut out = vec![f32::NAN; extent.pixels() * 3];
        ToRgb::new(&weights, bias).styled(&prologue, &before, extent).forward(&map, &mut out);
        // What `upfirdn2d` does: zeros in between, then a blur.
        let blur = [0.25, 0.75, 0.75, 0.25];
        let mut expected = Vec::new();
        for pixel in 0..extent.pixels() {
            let (y, x) = (pixel / width, pixel % width);
            for colour in 0..3 {
                let mut sum = f64::from(bias[colour]);
                for channel in 0..32 {
                    let weight = f64::from(weights[colour * 32 + channel]) * f64::from(scale[channel]);
                    sum += weight * f64::from(map[pixel * 32 + channel]);
                }
                for (down, first) in blur.iter().enumerate() {
                    for (across, second) in blur.iter().enumerate() {
                        let (Some(row), Some(column)) = ((y + down).checked_sub(2), (x + across).checked_sub(2)) else {
                            continue;
                        };
                        if row % 2 == 0 && column % 2 == 0 && row < height && column < width {
                            let value = before[(row / 2 * (width / 2) + column / 2) * 3 + colour];
                            sum += first * second * f64::from(value);
                        }
                    }
                }
                expected.push(sum);
            }
        }
        close(&out, &expected, 1e-5, &format!("{height} x {width}"));
    }
}

#[test]
fn a_scale_is_both_of_its_convolutions() {
    // The last has so many rows that they are made in several parts.
    for [height, width] in [[1, 1], [4, 4], [9, 5], [16, 16], [33, 20], [70, 1100]] {
        let extent = Extent { images: 1, height, width };
        let doubled = Extent { images: 1, height: 2 * height, width: 2 * width };
        let map = numbers(extent.pixels() * 16, 1);
        let styled = |convolution, seed| Styled {
            convolution: Arc::new(convolution),
            prologue: Prologue { scale: Some(numbers(16, seed).into()), shift: None },
            epilogue: Epilogue {
                scale: Some(numbers(16, seed + 1).into()),
                noise: Some(numbers(doubled.pixels(), seed + 2).into()),
                shift: Some(numbers(16, seed + 3).into()),
                slope: Some(vec![0.2; 16].into()),
                gain: Some(1.5),
            },
        };
        let weights = |seed| numbers(9 * 16 * 16, seed);
        let (upsample, same) = (Upsample::new(&weights(10), 16, 16), Nested::<F43>::new(&weights(11), 16, 16));
        let mut between = vec![f32::NAN; doubled.pixels() * 16];
        let (first, second) = (styled(Convolution::Upsample(upsample), 20), styled(Convolution::Same(same), 30));
        let Convolution::Upsample(upsample) = &*first.convolution else { unreachable!() };
        upsample.forward(&map, extent, &first.prologue, &first.epilogue, &mut between);
        let mut expected = vec![f32::NAN; between.len()];
        let Convolution::Same(same) = &*second.convolution else { unreachable!() };
        same.forward(&between, doubled, &second.prologue, &second.epilogue, &mut expected);

        let scale = Scale::new(first, second).unwrap();
        let mut out = vec![f32::NAN; between.len()];
        scale.forward(&map, extent, &mut out);
        assert!(out == expected, "{extent:?}");

        let (before, style) = (numbers(extent.pixels() * 3, 40), Prologue::default());
        let to_rgb = ToRgb::new(&numbers(3 * 16, 41), [0.25; 3]);
        let to_rgb = to_rgb.styled(&style, &before, doubled);
        let (mut colours, mut expected_colours) =
            (vec![f32::NAN; out.len() / 16 * 3], vec![f32::NAN; out.len() / 16 * 3]);
        to_rgb.forward(&expected, &mut expected_colours);
        scale.forward_to_rgb(&map, extent, &to_rgb, &mut colours);
        assert!(colours == expected_colours, "colours of {extent:?}");
    }
}

/// The kernels of machines with narrower instructions than this one, or none: all tests before again, in another process, since
/// which instructions there are is a matter of the whole process.
#[test]
#[cfg(target_arch = "x86_64")]
fn on_other_machines() {
    if std::env::var_os(NARROWER).is_some() {
        return;
    }
    for instructions in ["scalar", "v3"] {
        let mut tests = Command::new(std::env::current_exe().unwrap());
        let output = tests.arg("kernels::tests::").env(NARROWER, instructions).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains(" passed"), "{instructions}: {told}");
    }
}
