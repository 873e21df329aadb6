//! Against sums written out, in double precision, on maps of odd sizes and borders.

use std::sync::Arc;

use burn::tensor::TensorData;

use super::around::{Epilogue, Prologue};
use super::{Direct, Upsample, Winograd};

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

/// A map, weights and what goes around, of these sizes.
struct Case {
    map: Vec<f32>,
    weights: Vec<f32>,
    prologue: Prologue,
    epilogue: Epilogue,
}

impl Case {
    fn new([outputs, inputs]: [usize; 2], kernel: usize, pixels: usize, out_pixels: usize) -> Self {
        Self {
            map: numbers(inputs * pixels, 1),
            weights: numbers(outputs * inputs * kernel, 2),
            prologue: Prologue { scale: Some(numbers(inputs, 3).into()), shift: Some(numbers(inputs, 4).into()) },
            epilogue: Epilogue {
                scale: Some(numbers(outputs, 5).into()),
                noise: Some(numbers(out_pixels, 6).into()),
                shift: Some(numbers(outputs, 7).into()),
                slope: Some(numbers(outputs, 8).into()),
                gain: Some(1.5),
            },
        }
    }

    /// The value of an input, after the prologue; zero beyond the edge.
    fn input(&self, channel: usize, [height, width]: [usize; 2], row: isize, column: isize) -> f64 {
        if !(0..height as isize).contains(&row) || !(0..width as isize).contains(&column) {
            return 0.0;
        }
        let value = f64::from(self.map[(channel * height + row as usize) * width + column as usize]);
        let (scale, shift) = (self.prologue.scale.as_ref().unwrap(), self.prologue.shift.as_ref().unwrap());
        value * f64::from(scale[channel]) + f64::from(shift[channel])
    }

    fn finished(&self, channel: usize, pixel: usize, sum: f64) -> f64 {
        let of = |values: &Option<Arc<[f32]>>, index: usize| f64::from(values.as_ref().unwrap()[index]);
        let Epilogue { scale, noise, shift, slope, .. } = &self.epilogue;
        let value = sum * of(scale, channel) + of(noise, pixel) + of(shift, channel);
        1.5 * if value < 0.0 { value * of(slope, channel) } else { value }
    }

    /// A convolution, written out.
    fn convolved(&self, [outputs, inputs]: [usize; 2], side: usize, stride: usize, size: [usize; 2]) -> Vec<f64> {
        let out = size.map(|size| size.div_ceil(stride));
        let mut values = Vec::new();
        for output in 0..outputs {
            for pixel in 0..out[0] * out[1] {
                let (row, column) = ((pixel / out[1] * stride) as isize, (pixel % out[1] * stride) as isize);
                let mut sum = 0.0;
                for input in 0..inputs {
                    for tap in 0..side * side {
                        let weight = self.weights[(output * inputs + input) * side * side + tap];
                        let half = (side / 2) as isize;
                        let (y, x) = ((tap / side) as isize - half, (tap % side) as isize - half);
                        sum += f64::from(weight) * self.input(input, size, row + y, column + x);
                    }
                }
                values.push(self.finished(output, pixel, sum));
            }
        }
        values
    }

    /// A transposed convolution of stride 2 and a blur, written out.
    fn upsampled(&self, [outputs, inputs]: [usize; 2], size: [usize; 2]) -> Vec<f64> {
        let [height, width] = size;
        let blur = [0.25, 0.75, 0.75, 0.25];
        let mut values = Vec::new();
        for output in 0..outputs {
            let (tall, wide) = (2 * height + 1, 2 * width + 1);
            let mut transposed = vec![0.0; tall * wide];
            for input in 0..inputs {
                for pixel in 0..height * width {
                    let (row, column) = (pixel / width, pixel % width);
                    let value = self.input(input, size, row as isize, column as isize);
                    for tap in 0..9 {
                        let weight = f64::from(self.weights[(output * inputs + input) * 9 + tap]);
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
                values.push(self.finished(output, pixel, sum));
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

const CHANNELS: [[usize; 2]; 4] = [[1, 1], [6, 3], [7, 20], [50, 9]];

#[test]
fn winograd_on_any_size() {
    for channels @ [outputs, inputs] in CHANNELS {
        for size @ [height, width] in [
            [1_usize, 1_usize],
            [2, 3],
            [4, 4],
            [5, 8],
            [16, 16],
            [9, 61],
            [7, 64],
            [12, 67],
            [3, 140],
            [70, 9],
            [41, 35],
        ] {
            let case = Case::new(channels, 9, height * width, height * width);
            let mut out = vec![f32::NAN; outputs * height * width];
            let winograd = Winograd::new(&case.weights, outputs, inputs);
            winograd.forward(&case.map, size, &case.prologue, &case.epilogue, &mut out);
            let expected = case.convolved(channels, 3, 1, size);
            close(&out, &expected, 1e-4, &format!("{channels:?} channels at {size:?}"));
        }
    }
}

#[test]
fn direct_on_any_size() {
    for channels @ [outputs, _] in CHANNELS {
        for size @ [height, width] in
            [[1_usize, 1_usize], [2, 3], [4, 4], [5, 8], [16, 16], [9, 61], [12, 67], [33, 41]]
        {
            for (side, stride) in [(1_usize, 1_usize), (1, 2), (3, 1), (3, 2)] {
                let out_size = size.map(|size| size.div_ceil(stride));
                let case = Case::new(channels, side * side, height * width, out_size[0] * out_size[1]);
                let mut out = vec![f32::NAN; outputs * out_size[0] * out_size[1]];
                let direct =
                    Direct::new(TensorData::new(case.weights.clone(), [case.weights.len()]), channels, side, stride);
                direct.forward(&case.map, size, &case.prologue, &case.epilogue, out_size, &mut out);
                let expected = case.convolved(channels, side, stride, size);
                close(&out, &expected, 3e-5, &format!("{channels:?} channels at {size:?}, {side}, {stride}"));
            }
        }
    }
}

#[test]
fn upsample_on_any_size() {
    for channels @ [outputs, inputs] in CHANNELS {
        for size @ [height, width] in [[1_usize, 1_usize], [2, 3], [4, 4], [5, 8], [9, 21], [16, 16]] {
            let case = Case::new(channels, 9, height * width, 4 * height * width);
            let mut out = vec![f32::NAN; outputs * 4 * height * width];
            let upsample = Upsample::new(&case.weights, outputs, inputs);
            upsample.forward(&case.map, size, &case.prologue, &case.epilogue, &mut out);
            let expected = case.upsampled(channels, size);
            close(&out, &expected, 1e-4, &format!("{channels:?} channels at {size:?}"));
        }
    }
}
