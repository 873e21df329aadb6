//! Kernels against plain sums in double precision, on maps of odd sizes, borders included.

use std::process::Command;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::{
    AddOp, Concatenate, Convolution, Depthwise, Direct, Epilogue, ExciteAdd, Extent, F23, F43, F63, MapOp, Maps,
    MaxPool, NearestAdd, PadChannels, Padding, Patches, Phases, Pooled, Prologue, Scratch, SqueezeExcitation, Strassen,
    Stride2, TEST_INSTRUCTIONS, UpsampleAdd, UpsampleMultiply, Winograd, Winograd2d, add, data,
};
use crate::DeviceChoice;

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

/// Maps, weights, and the operations before and after, of these sizes.
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
                ceiling: Some(0.75),
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
        let Epilogue { scale, noise, shift, slope, ceiling, .. } = &self.epilogue;
        let noise = of(noise, pixel).unwrap_or(0.0);
        let value = sum * of(scale, channel).unwrap() + noise + of(shift, channel).unwrap();
        let value = 1.5 * if value < 0.0 { value * of(slope, channel).unwrap() } else { value };
        value.min(ceiling.map_or(f64::INFINITY, f64::from))
    }

    /// A convolution as plain sums.
    fn convolved(&self, side: usize, stride: usize) -> Vec<f64> {
        self.convolved_dilated(side, stride, 1)
    }

    /// The same with pixels from tap to tap.
    fn convolved_dilated(&self, side: usize, stride: usize, dilation: isize) -> Vec<f64> {
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
                    let (y, x) = (y * dilation, x * dilation);
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

fn keeps_any_size<F: Winograd>(tolerance: f64) {
    for channels in CHANNELS {
        for extent in extents() {
            let mut case = Case::new(channels, 9, extent, extent.pixels());
            let mut out = vec![f32::NAN; channels[0] * extent.pixels()];
            let same = Winograd2d::<F>::new(&case.weights, channels[0], channels[1]);
            same.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.convolved(3, 1), tolerance, &format!("{channels:?} channels of {extent:?}"));
            case.prologue = Prologue::default();
            same.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.convolved(3, 1), tolerance, &format!("{channels:?} channels of {extent:?} alone"));
            let sparing = Winograd2d::<F>::sparing(&case.weights, channels[0], channels[1]);
            out.fill(f32::NAN);
            sparing.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.convolved(3, 1), tolerance, &format!("{channels:?} channels of {extent:?}, sparing"));
        }
    }
}

#[test]
fn f63_on_any_size() {
    keeps_any_size::<F63>(5e-4);
}

#[test]
fn f43_on_any_size() {
    keeps_any_size::<F43>(2e-4);
}

#[test]
fn f23_on_any_size() {
    keeps_any_size::<F23>(2e-4);
}

#[test]
fn half_on_any_size() {
    for channels in CHANNELS {
        for extent in extents() {
            let weights = numbers(9 * channels[0] * channels[1], 2);
            let half = Winograd2d::<Stride2>::new(&weights, channels[0], channels[1]);
            let out_pixels = half.out(extent).pixels();
            let case = Case::new(channels, 9, extent, out_pixels);
            let mut out = vec![f32::NAN; channels[0] * out_pixels];
            half.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.convolved(3, 2), 1e-4, &format!("{channels:?} channels of {extent:?}"));
            out.fill(f32::NAN);
            let sparing = Winograd2d::<Stride2>::sparing(&weights, channels[0], channels[1]);
            sparing.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.convolved(3, 2), 1e-4, &format!("{channels:?} channels of {extent:?}, sparing"));
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
fn strassen_on_any_size() {
    let small = Extent { images: 2, height: 3, width: 5 };
    // Many inputs are multiplied some at a time, and large weights with many pixels.
    let cases = [([32, 32], extents().collect()), ([96, 64], extents().collect()), ([160, 32], extents().collect())];
    for (channels, extents) in cases.into_iter().chain([([32, 1120], vec![small]), ([1056, 640], vec![small])]) {
        for extent in extents {
            for stride in [1, 2] {
                let strassen = Strassen::new(&numbers(channels[0] * channels[1], 2), channels, stride);
                let out_pixels = strassen.out(extent).pixels();
                let case = Case::new(channels, 1, extent, out_pixels);
                let mut out = vec![f32::NAN; channels[0] * out_pixels];
                strassen.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
                let what = format!("{channels:?} channels of {extent:?}, {stride}");
                close(&out, &case.convolved(1, stride), 2e-4, &what);
            }
        }
    }
}

#[test]
fn dilated_on_any_size() {
    for channels in [[16, 16], [35, 32]] {
        for extent in extents() {
            for dilation in [2, 3] {
                let direct = Direct::new(&numbers(9 * channels[0] * channels[1], 2), channels, 3, 1).dilated(dilation);
                assert_eq!(direct.out(extent), extent);
                let case = Case::new(channels, 9, extent, extent.pixels());
                let mut out = vec![f32::NAN; channels[0] * extent.pixels()];
                direct.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
                let what = format!("{channels:?} channels of {extent:?}, dilated by {dilation}");
                close(&out, &case.convolved_dilated(3, 1, dilation as isize), 1e-4, &what);
            }
        }
    }
}

#[test]
fn dilated_by_phases_on_any_size() {
    for channels in [[16, 16], [48, 32]] {
        for extent in extents() {
            for dilation in [2, 3] {
                let weights = numbers(9 * channels[0] * channels[1], 2);
                let phases = Phases::new(Winograd2d::<F43>::new(&weights, channels[0], channels[1]), dilation);
                assert_eq!(phases.out(extent), extent);
                let mut case = Case::new(channels, 9, extent, extent.pixels());
                case.epilogue.noise = None;
                let mut out = vec![f32::NAN; channels[0] * extent.pixels()];
                phases.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
                let what = format!("{channels:?} channels of {extent:?}, dilated by {dilation}");
                close(&out, &case.convolved_dilated(3, 1, dilation as isize), 2e-4, &what);
            }
        }
    }
}

#[test]
fn patches_on_any_size() {
    for channels in [[64, 3], [8, 3], [16, 8], [7, 5], [35, 16]] {
        for extent in extents() {
            for (side, stride) in [(1_usize, 1_usize), (1, 2), (3, 1), (3, 2), (7, 2)] {
                let weights = numbers(channels[0] * channels[1] * side * side, 2);
                let patches = Patches::new(&weights, channels, side, stride);
                let out_pixels = patches.out(extent).pixels();
                let mut case = Case::new(channels, side * side, extent, out_pixels);
                let mut out = vec![f32::NAN; channels[0] * out_pixels];
                let what = format!("{channels:?} channels of {extent:?}, {side}, {stride}");
                patches.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
                close(&out, &case.convolved(side, stride), 1e-4, &what);
                case.prologue = Prologue::default();
                patches.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
                close(&out, &case.convolved(side, stride), 1e-4, &format!("{what}, alone"));
            }
        }
    }
}

#[test]
fn depthwise_on_any_size() {
    for (channels, side) in [(4, 3), (8, 3), (16, 3), (24, 3), (37, 3), (64, 3), (37, 5), (48, 5)] {
        let taps = side * side;
        for extent in extents() {
            for stride in [1, 2] {
                let kernels = numbers(channels * taps, 2);
                let depthwise = Depthwise::of_side(&kernels, channels, side, stride, Padding::Centred);
                let out_extent = depthwise.out(extent);
                // Kernels between two channels are zero.
                let mut case = Case::new([channels, channels], taps, extent, out_extent.pixels());
                case.weights = vec![0.0; channels * channels * taps];
                for channel in 0..channels {
                    let kernel = &kernels[channel * taps..][..taps];
                    case.weights[channel * (channels + 1) * taps..][..taps].copy_from_slice(kernel);
                }
                let mut out = vec![f32::NAN; channels * out_extent.pixels()];
                depthwise.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
                let what = format!("{channels} channels of {extent:?}, {side}, {stride}");
                close(&out, &case.convolved(side, stride), 1e-5, &what);
                case.epilogue.noise = None;
                depthwise.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
                close(&out, &case.convolved(side, stride), 1e-5, &format!("{what}, without noise"));
            }
        }
    }
}

#[test]
fn results_are_the_same_for_any_batch_and_any_number_of_threads() {
    let channels = [64, 32];
    let (weights, pixel_weights) = (numbers(9 * 64 * 32, 2), numbers(64 * 32, 2));
    let convolutions: [Box<dyn Convolution>; 11] = [
        Box::new(Direct::new(&pixel_weights, channels, 1, 1)),
        Box::new(Direct::new(&weights, channels, 3, 2)),
        Box::new(Patches::new(&weights, channels, 3, 1)),
        Box::new(Patches::new(&weights, channels, 3, 2)),
        Box::new(Pooled::new(Patches::new(&weights, channels, 3, 2))),
        Box::new(Strassen::new(&pixel_weights, channels, 1)),
        Box::new(Strassen::new(&pixel_weights, channels, 2)),
        Box::new(Winograd2d::<F43>::new(&weights, 64, 32)),
        Box::new(Winograd2d::<F63>::new(&weights, 64, 32)),
        Box::new(Winograd2d::<F63>::sparing(&weights, 64, 32)),
        Box::new(Winograd2d::<Stride2>::sparing(&weights, 64, 32)),
    ];
    let extent = Extent { images: 3, height: 31, width: 27 };
    let mut case = Case::new(channels, 9, extent, extent.pixels());
    case.epilogue.noise = None;
    let run = |convolution: &dyn Convolution, maps: &[f32], images: usize, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let extent = Extent { images, ..extent };
        let mut out = vec![f32::NAN; convolution.out(extent).pixels() * channels[0]];
        pool.install(|| convolution.forward(maps, extent, &case.prologue, &case.epilogue, &mut out));
        out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    for convolution in &convolutions {
        let all = run(&**convolution, &case.maps, 3, 1);
        let what = &format!("{convolution:.0?}")[..60];
        assert!(all == run(&**convolution, &case.maps, 3, 4), "4 threads: {what}");
        let image = case.maps.len() / 3;
        for (index, expected) in all.chunks_exact(all.len() / 3).enumerate() {
            let alone = run(&**convolution, &case.maps[index * image..][..image], 1, 2);
            assert!(alone == expected, "image {index} alone: {what}");
        }
    }
}

#[test]
fn others_are_added_before_the_activation() {
    let extent = Extent { images: 2, height: 9, width: 13 };
    let convolutions: [(Box<dyn Convolution>, [usize; 2], usize); 6] = [
        (Box::new(Direct::new(&numbers(35 * 32, 2), [35, 32], 1, 1)), [35, 32], 1),
        (Box::new(Direct::new(&numbers(32 * 16 * 9, 2), [32, 16], 3, 1)), [32, 16], 3),
        (Box::new(Patches::new(&numbers(16 * 5, 2), [16, 5], 1, 1)), [16, 5], 1),
        (Box::new(Strassen::new(&numbers(64 * 32, 2), [64, 32], 1)), [64, 32], 1),
        (Box::new(Winograd2d::<F43>::new(&numbers(32 * 16 * 9, 2), 32, 16)), [32, 16], 3),
        (Box::new(Winograd2d::<F23>::new(&numbers(32 * 16 * 9, 2), 32, 16)), [32, 16], 3),
    ];
    for (convolution, channels, side) in convolutions {
        let mut case = Case::new(channels, side * side, extent, extent.pixels());
        case.epilogue.gain = None;
        let others = numbers(channels[0] * extent.pixels(), 9);
        let mut out = others.clone();
        convolution.forward_add(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
        let slope = case.epilogue.slope.take().unwrap();
        case.epilogue.slope = Some(vec![1.0; channels[0]].into());
        let ceiling = f64::from(case.epilogue.ceiling.take().unwrap());
        let sums = case.convolved(side, 1);
        let expected: Vec<f64> = (0..others.len())
            .map(|index| {
                // The case's gain is 1.5.
                let value = sums[index] / 1.5 + f64::from(others[index]);
                let value = if value < 0.0 { value * f64::from(slope[index % channels[0]]) } else { value };
                value.min(ceiling)
            })
            .collect();
        close(&out, &expected, 2e-4, &format!("{convolution:.0?}")[..20]);
    }
}

#[test]
fn the_largest_of_a_window() {
    for extent in extents() {
        let (channels, pool) = (17, MaxPool { side: 3, stride: 2 });
        // All values are below zero: those of a padding with zeros would be larger.
        let maps: Vec<f32> = numbers(extent.pixels() * channels, 1).into_iter().map(|value| value - 2.0).collect();
        let inputs = [Maps { values: &maps, extent, channels }];
        let (out_extent, _) = pool.shape(&inputs);
        assert_eq!((out_extent.height, out_extent.width), (extent.height.div_ceil(2), extent.width.div_ceil(2)));
        let mut out = vec![f32::NAN; out_extent.pixels() * channels];
        pool.forward(&inputs, &mut out);
        let mut expected = Vec::new();
        for pixel in 0..out_extent.pixels() {
            let (image, place) =
                (pixel / (out_extent.height * out_extent.width), pixel % (out_extent.height * out_extent.width));
            let (y, x) = (2 * (place / out_extent.width), 2 * (place % out_extent.width));
            for channel in 0..channels {
                let mut largest = f32::NEG_INFINITY;
                for row in y.saturating_sub(1)..(y + 2).min(extent.height) {
                    for column in x.saturating_sub(1)..(x + 2).min(extent.width) {
                        let value = maps[((image * extent.height + row) * extent.width + column) * channels + channel];
                        largest = largest.max(value);
                    }
                }
                expected.push(f64::from(largest));
            }
        }
        close(&out, &expected, 0.0, &format!("{extent:?}"));
    }
}

#[test]
fn a_convolution_pools_as_it_goes() {
    for (channels, side) in [([32, 3], 7), ([17, 5], 3)] {
        for extent in extents() {
            let weights = numbers(channels[0] * channels[1] * side * side, 2);
            let patches = || Patches::new(&weights, channels, side, 2);
            let whole = patches().out(extent);
            let case = Case::new(channels, side * side, extent, whole.height * whole.width);
            let mut maps = vec![f32::NAN; whole.pixels() * channels[0]];
            patches().forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut maps);
            let maps = [Maps { values: &maps, extent: whole, channels: channels[0] }];
            let pool = MaxPool { side: 3, stride: 2 };
            let (pooled, _) = pool.shape(&maps);
            let mut expected = vec![f32::NAN; pooled.pixels() * channels[0]];
            pool.forward(&maps, &mut expected);
            let convolution = Pooled::new(patches());
            assert_eq!(convolution.out(extent), pooled);
            let mut out = vec![f32::NAN; expected.len()];
            convolution.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            assert_eq!(out, expected, "{channels:?} channels of {extent:?}");
        }
    }
}

#[test]
fn the_nearest_pixel_is_added() {
    let (from, to) = (Extent { images: 2, height: 4, width: 5 }, Extent { images: 2, height: 7, width: 9 });
    let (maps, others) = (numbers(from.pixels() * 5, 1), numbers(to.pixels() * 5, 2));
    let mut out = others.clone();
    NearestAdd.add(Maps { values: &maps, extent: from, channels: 5 }, to, &mut out);
    let expected: Vec<f64> = (0..others.len())
        .map(|index| {
            let (pixel, channel) = (index / 5, index % 5);
            let (image, y, x) = (pixel / 63, pixel / 9 % 7, pixel % 9);
            let source = ((image * 4 + y / 2) * 5 + x / 2) * 5 + channel;
            f64::from(maps[source]) + f64::from(others[index])
        })
        .collect();
    close(&out, &expected, 1e-6, "nearest");
}

#[test]
fn maps_with_one_owner_are_added_to_in_their_memory() {
    let device = DeviceChoice::Cpu.find().unwrap().burn();
    let tensor = |values: &[f32]| {
        let mut scratch = Scratch::new(values.len());
        scratch.values_mut().copy_from_slice(values);
        let address = scratch.values().as_ptr();
        (Tensor::<4>::from_data(data(scratch, [1, 2, 2, 16]), &device), address)
    };
    let sums: Vec<f32> = (0..64).map(|value| value as f32).collect();
    let doubled: Vec<f32> = sums.iter().map(|value| 2.0 * value).collect();
    let is = |tensor: Tensor<4>, values: &[f32], address: *const f32| {
        let data = tensor.into_data();
        let found: &[f32] = data.as_slice().unwrap();
        assert_eq!(found, values);
        found.as_ptr() == address
    };
    let ((maps, _), (alone, address)) = (tensor(&sums), tensor(&sums));
    assert!(is(add(NearestAdd, maps.clone(), alone), &doubled, address), "its own memory");
    let (shared, address) = tensor(&sums);
    assert!(!is(add(NearestAdd, maps, shared.clone()), &doubled, address), "the memory of another owner");
    assert!(is(shared, &sums, address), "another owner's maps");
}

#[test]
fn channels_are_one_after_the_other() {
    let extent = Extent { images: 2, height: 3, width: 5 };
    let channels = [32, 5, 16];
    let values = [0, 1, 2].map(|index| numbers(extent.pixels() * channels[index], index as u32));
    let inputs = [0, 1, 2].map(|index| Maps { values: &values[index], extent, channels: channels[index] });
    assert_eq!(Concatenate.shape(&inputs), (extent, 53));
    let mut out = vec![f32::NAN; extent.pixels() * 53];
    Concatenate.forward(&inputs, &mut out);
    let expected: Vec<f32> = (0..extent.pixels())
        .flat_map(|pixel| [0, 1, 2].map(|index| &values[index][pixel * channels[index]..][..channels[index]]).concat())
        .collect();
    assert_eq!(out, expected);
}

#[test]
fn upsampled_maps_are_multiplied() {
    let (from, to) = (Extent { images: 1, height: 3, width: 4 }, Extent { images: 1, height: 5, width: 7 });
    let (maps, others) = (numbers(from.pixels() * 16, 1), numbers(to.pixels() * 16, 2));
    let zeros = vec![0.0; others.len()];
    let upsampled = |others: &[f32], op: &dyn MapOp| {
        let mut out = vec![f32::NAN; others.len()];
        let inputs =
            [Maps { values: &maps, extent: from, channels: 16 }, Maps { values: others, extent: to, channels: 16 }];
        op.forward(&inputs, &mut out);
        out
    };
    let expected = upsampled(&zeros, &UpsampleAdd).into_iter().zip(&others);
    let expected: Vec<f64> = expected.map(|(value, other)| f64::from(value) * f64::from(*other)).collect();
    close(&upsampled(&others, &UpsampleMultiply), &expected, 1e-6, "the product");
}

#[test]
fn an_image_does_not_depend_on_its_neighbours() {
    let extent = Extent { images: 3, height: 9, width: 6 };
    let channels = [32, 16];
    let weights = numbers(9 * channels[0] * channels[1], 2);
    let (same, half) = (Winograd2d::<F43>::new(&weights, 32, 16), Winograd2d::<Stride2>::new(&weights, 32, 16));
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
        let layers = Arc::new(SqueezeExcitation::new(channels, fc1.clone(), fc2.clone()));
        let inputs =
            [Maps { values: &maps, extent, channels }, Maps { values: &others, extent: other_extent, channels }];
        ExciteAdd { layers, stride }.forward(&inputs, &mut out);

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
fn padded_channels_are_zero() {
    let (extent, values) = (Extent { images: 2, height: 3, width: 5 }, numbers(30 * 3, 1));
    let inputs = [Maps { values: &values, extent, channels: 3 }];
    assert_eq!(PadChannels(16).shape(&inputs), (extent, 16));
    let mut out = vec![f32::NAN; 30 * 16];
    PadChannels(16).forward(&inputs, &mut out);
    for (out, values) in out.chunks_exact(16).zip(values.chunks_exact(3)) {
        assert!(out[..3] == *values && out[3..] == [0.0; 13]);
    }
}

#[test]
fn upsampling_keeps_the_corners() {
    let (from, to) = (Extent { images: 2, height: 2, width: 3 }, Extent { images: 2, height: 4, width: 5 });
    let (maps, others) = (numbers(from.pixels() * 16, 1), numbers(to.pixels() * 16, 2));
    let mut out = vec![f32::NAN; others.len()];
    let inputs =
        [Maps { values: &maps, extent: from, channels: 16 }, Maps { values: &others, extent: to, channels: 16 }];
    UpsampleAdd.forward(&inputs, &mut out);
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
            let upsampled = row(0) * (1.0 - down) + row(1) * down;
            expected.push(upsampled + f64::from(others[pixel * 16 + channel]));
        }
    }
    close(&out, &expected, 1e-5, "upsampled");
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
        let output = tests.arg("kernels::tests::").env(TEST_INSTRUCTIONS, instructions).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && report.contains(" passed"), "{instructions}: {report}");
    }
}
