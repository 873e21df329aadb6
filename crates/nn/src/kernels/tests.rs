//! Kernels against plain sums in double precision, on maps of odd sizes, borders included.

mod maps;

use std::process::Command;
use std::sync::Arc;

use super::pooled::ByRow;
use super::{
    Convolution, Depthwise, Direct, Epilogue, Extent, F23, F43, F63, MapOp, Maps, MaxPool, Padding, Patches, Phases,
    Pixels, Pointwise, Pooled, Prologue, Source, Strassen, Stride2, Stride2F42, Strided7x7, TEST_INSTRUCTIONS,
    Winograd, Winograd2d,
};

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

fn halves_any_size<F: Winograd>() {
    for channels in CHANNELS {
        for extent in extents() {
            let weights = numbers(9 * channels[0] * channels[1], 2);
            let half = Winograd2d::<F>::new(&weights, channels[0], channels[1]);
            let out_pixels = half.out(extent).pixels();
            let case = Case::new(channels, 9, extent, out_pixels);
            let mut out = vec![f32::NAN; channels[0] * out_pixels];
            half.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.convolved(3, 2), 1e-4, &format!("{channels:?} channels of {extent:?}"));
            out.fill(f32::NAN);
            let sparing = Winograd2d::<F>::sparing(&weights, channels[0], channels[1]);
            sparing.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
            close(&out, &case.convolved(3, 2), 1e-4, &format!("{channels:?} channels of {extent:?}, sparing"));
        }
    }
}

#[test]
fn half_on_any_size() {
    halves_any_size::<Stride2>();
}

#[test]
fn half_by_larger_tiles_on_any_size() {
    halves_any_size::<Stride2F42>();
}

#[test]
fn the_pixels_of_two_maps_are_multiplied_as_one() {
    for extent in extents() {
        let (outputs, inputs, stride) = (64, [32, 96], 2);
        let all = inputs[0] + inputs[1];
        let small = Extent { height: extent.height.div_ceil(stride), width: extent.width.div_ceil(stride), ..extent };
        let maps = [numbers(small.pixels() * inputs[0], 1), numbers(extent.pixels() * inputs[1], 2)];
        let sources = [(small, 1), (extent, stride)].into_iter().zip(&maps).zip(inputs);
        let sources = sources.map(|(((extent, stride), maps), channels)| Source { maps, extent, channels, stride });
        let [first, second] = sources.collect::<Vec<_>>().try_into().unwrap();
        // The same pixels as one map.
        let mut case = Case::new([outputs, all], 1, small, small.height * small.width);
        case.prologue = Prologue::default();
        for (index, pixel) in case.maps.chunks_exact_mut(all).enumerate() {
            let (line, column) = (index / small.width, index % small.width);
            let (image, row) = (line / small.height, line % small.height);
            let other = (image * extent.height + row * stride) * extent.width + column * stride;
            pixel[..inputs[0]].copy_from_slice(&maps[0][index * inputs[0]..][..inputs[0]]);
            pixel[inputs[0]..].copy_from_slice(&maps[1][other * inputs[1]..][..inputs[1]]);
        }
        let direct = Direct::new(&case.weights, [outputs, all], 1, 1);
        let strassen = Strassen::new(&case.weights, [outputs, all], 1);
        for convolution in [&direct as &dyn Pointwise, &strassen] {
            let mut out = vec![f32::NAN; small.pixels() * outputs];
            convolution.multiply(Pixels::of_both(first, second), &case.epilogue, false, &mut out);
            close(&out, &case.convolved(1, 1), 2e-4, &format!("{extent:?}"));
            let mut of_one = vec![f32::NAN; out.len()];
            convolution.forward(&case.maps, small, &case.prologue, &case.epilogue, &mut of_one);
            assert_eq!(out, of_one, "{extent:?}");
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
fn strided_7x7_on_any_size() {
    for channels in [[64, 3], [16, 1], [32, 9]] {
        for extent in extents() {
            let weights = numbers(channels[0] * channels[1] * 49, 2);
            let convolution = Strided7x7::new(&weights, channels);
            let out_pixels = convolution.out(extent).pixels();
            let mut case = Case::new(channels, 49, extent, out_pixels);
            let mut out = vec![f32::NAN; channels[0] * out_pixels];
            for prologue in [case.prologue.clone(), Prologue::default()] {
                case.prologue = prologue;
                convolution.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
                close(&out, &case.convolved(7, 2), 1e-4, &format!("{channels:?} channels of {extent:?}"));
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
    let large_weights = numbers(49 * 64 * 32, 2);
    let convolutions: [Box<dyn Convolution>; 14] = [
        Box::new(Direct::new(&pixel_weights, channels, 1, 1)),
        Box::new(Direct::new(&weights, channels, 3, 2)),
        Box::new(Patches::new(&weights, channels, 3, 1)),
        Box::new(Patches::new(&weights, channels, 3, 2)),
        Box::new(Pooled::new(Patches::new(&weights, channels, 3, 2))),
        Box::new(Strided7x7::new(&large_weights, channels)),
        Box::new(Pooled::new(Strided7x7::new(&large_weights, channels))),
        Box::new(Strassen::new(&pixel_weights, channels, 1)),
        Box::new(Strassen::new(&pixel_weights, channels, 2)),
        Box::new(Winograd2d::<F43>::new(&weights, 64, 32)),
        Box::new(Winograd2d::<F63>::new(&weights, 64, 32)),
        Box::new(Winograd2d::<F63>::sparing(&weights, 64, 32)),
        Box::new(Winograd2d::<Stride2>::sparing(&weights, 64, 32)),
        Box::new(Winograd2d::<Stride2F42>::new(&weights, 64, 32)),
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
fn a_convolution_pools_as_it_goes() {
    pools_as_it_goes([32, 3], 7, |weights| Patches::new(weights, [32, 3], 7, 2));
    pools_as_it_goes([17, 5], 3, |weights| Patches::new(weights, [17, 5], 3, 2));
    pools_as_it_goes([32, 3], 7, |weights| Strided7x7::new(weights, [32, 3]));
}

#[track_caller]
fn pools_as_it_goes<C: ByRow>(channels: [usize; 2], side: usize, convolution: impl Fn(&[f32]) -> C) {
    let weights = numbers(channels[0] * channels[1] * side * side, 2);
    let (convolution, pooled) = (convolution(&weights), Pooled::new(convolution(&weights)));
    for extent in extents() {
        let whole = convolution.out(extent);
        let case = Case::new(channels, side * side, extent, whole.height * whole.width);
        let mut maps = vec![f32::NAN; whole.pixels() * channels[0]];
        convolution.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut maps);
        let maps = [Maps { values: &maps, extent: whole, channels: channels[0] }];
        let pool = MaxPool { side: 3, stride: 2 };
        let (out_extent, _) = pool.shape(&maps);
        let mut expected = vec![f32::NAN; out_extent.pixels() * channels[0]];
        pool.forward(&maps, &mut expected);
        assert_eq!(pooled.out(extent), out_extent);
        let mut out = vec![f32::NAN; expected.len()];
        pooled.forward(&case.maps, extent, &case.prologue, &case.epilogue, &mut out);
        assert_eq!(out, expected, "{channels:?} channels of {extent:?}");
    }
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

/// All tests of this module again with narrower vector instructions, or none. They run in another process, since the environment
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
