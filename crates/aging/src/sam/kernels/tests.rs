//! Kernels against plain sums in double precision, on maps of odd sizes, borders included.

use std::process::Command;
use std::sync::Arc;

use nn::kernels::{Convolution, Epilogue, Extent, F43, Prologue, TEST_INSTRUCTIONS, Winograd2d};

use super::{Scale, Styled, StyledConvolution, ToRgb, Upsample};

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

/// A map, weights, and the operations before and after, of these sizes.
struct Case {
    outputs: usize,
    inputs: usize,
    extent: Extent,
    map: Vec<f32>,
    weights: Vec<f32>,
    prologue: Prologue,
    epilogue: Epilogue,
}

impl Case {
    fn new([outputs, inputs]: [usize; 2], extent: Extent) -> Self {
        Self {
            outputs,
            inputs,
            extent,
            map: numbers(inputs * extent.pixels(), 1),
            weights: numbers(outputs * inputs * 9, 2),
            prologue: Prologue { scale: Some(numbers(inputs, 3).into()), shift: Some(numbers(inputs, 4).into()) },
            epilogue: Epilogue {
                scale: Some(numbers(outputs, 5).into()),
                noise: Some(numbers(4 * extent.pixels(), 6).into()),
                shift: Some(numbers(outputs, 7).into()),
                slope: Some(numbers(outputs, 8).into()),
                gain: Some(1.5),
                ceiling: None,
            },
        }
    }

    /// The value of an input, after the prologue.
    fn input(&self, pixel: usize, channel: usize) -> f64 {
        let of = |values: &Option<Arc<[f32]>>| f64::from(values.as_ref().unwrap()[channel]);
        let value = f64::from(self.map[pixel * self.inputs + channel]);
        value * of(&self.prologue.scale) + of(&self.prologue.shift)
    }

    /// The value of an output, after the epilogue.
    fn finished(&self, pixel: usize, channel: usize, sum: f64) -> f64 {
        let of = |values: &Option<Arc<[f32]>>, index: usize| f64::from(values.as_ref().unwrap()[index]);
        let Epilogue { scale, noise, shift, slope, .. } = &self.epilogue;
        let value = sum * of(scale, channel) + of(noise, pixel) + of(shift, channel);
        1.5 * if value < 0.0 { value * of(slope, channel) } else { value }
    }

    /// A transposed convolution of stride 2 and a blur of one map, as plain sums.
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
                    let value = self.input(pixel, input);
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

#[test]
fn upsample_on_any_size() {
    for channels in CHANNELS {
        for [height, width] in [[1, 1], [2, 3], [4, 4], [5, 8], [9, 21], [16, 16], [30, 3]] {
            let extent = Extent { images: 1, height, width };
            let case = Case::new(channels, extent);
            let mut out = vec![f32::NAN; channels[0] * 4 * extent.pixels()];
            let upsample = Upsample::new(&case.weights, channels[0], channels[1]);
            upsample.forward(&case.map, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.upsampled(), 1e-4, &format!("{channels:?} channels of {extent:?}"));
        }
    }
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
    // The last size has enough rows for several groups.
    for [height, width] in [[1, 1], [4, 4], [9, 5], [16, 16], [33, 20], [70, 1100]] {
        let extent = Extent { images: 1, height, width };
        let doubled = Extent { images: 1, height: 2 * height, width: 2 * width };
        let map = numbers(extent.pixels() * 16, 1);
        let styled = |convolution, seed| Styled {
            convolution,
            prologue: Prologue { scale: Some(numbers(16, seed).into()), shift: None },
            epilogue: Epilogue {
                scale: Some(numbers(16, seed + 1).into()),
                noise: Some(numbers(doubled.pixels(), seed + 2).into()),
                shift: Some(numbers(16, seed + 3).into()),
                slope: Some(vec![0.2; 16].into()),
                gain: Some(1.5),
                ceiling: None,
            },
        };
        let weights = |seed| numbers(9 * 16 * 16, seed);
        let (upsample, same) = (Upsample::new(&weights(10), 16, 16), Winograd2d::<F43>::new(&weights(11), 16, 16));
        let mut between = vec![f32::NAN; doubled.pixels() * 16];
        let (upsample, same) = (Arc::new(upsample), Arc::new(same));
        let first = styled(Arc::new(StyledConvolution::Upsample(upsample.clone())), 20);
        let second = styled(Arc::new(StyledConvolution::Same(same.clone())), 30);
        upsample.forward(&map, extent, &first.prologue, &first.epilogue, &mut between);
        let mut expected = vec![f32::NAN; between.len()];
        same.forward(&between, doubled, &second.prologue, &second.epilogue, &mut expected);

        let scale = Scale::new(first, second).unwrap();
        let mut out = vec![f32::NAN; between.len()];
        scale.double(&map, extent, &mut out);
        assert!(out == expected, "{extent:?}");

        let (before, style) = (numbers(extent.pixels() * 3, 40), Prologue::default());
        let to_rgb = ToRgb::new(&numbers(3 * 16, 41), [0.25; 3]);
        let to_rgb = to_rgb.styled(&style, &before, doubled);
        let (mut colours, mut expected_colours) =
            (vec![f32::NAN; out.len() / 16 * 3], vec![f32::NAN; out.len() / 16 * 3]);
        to_rgb.forward(&expected, &mut expected_colours);
        scale.double_to_rgb(&map, extent, &to_rgb, &mut colours);
        assert!(colours == expected_colours, "colours of {extent:?}");
    }
}

/// All tests of this file again with narrower vector instructions, or none. They run in another process, since the environment
/// variable applies to a whole process.
#[test]
#[cfg(target_arch = "x86_64")]
fn on_other_machines() {
    if std::env::var_os(TEST_INSTRUCTIONS).is_some() {
        return;
    }
    for instructions in ["scalar", "v3"] {
        let mut tests = Command::new(std::env::current_exe().unwrap());
        let output = tests.arg("sam::kernels::tests::").env(TEST_INSTRUCTIONS, instructions).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && report.contains(" passed"), "{instructions}: {report}");
    }
}
