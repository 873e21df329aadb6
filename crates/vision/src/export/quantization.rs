//! Whole numbers of 8 bits in the place of float32 (Jacob et al. 2018, arXiv 1712.05877), as TensorFlow Lite's specification of
//! quantization has them: one scale and zero point for each value, and one scale for each output of weights.

use rayon::prelude::*;

use super::graph::{Convolution, Graph, Kernel, Operation, ValueId};
use super::run::run;
use crate::vision_error::VisionError;

/// The range of inputs: pictures have values of -1 to 1.
const INPUT: [f32; 2] = [-1.0, 1.0];
/// The pictures that are run at the same time.
const AT_ONCE: usize = 8;
/// The range of scores. The specification fixes it.
const SCORES: Scale = Scale { scale: 1.0 / 256.0, zero_point: -128 };
/// The least scale of weights: those of an output may all be zero.
const LEAST_SCALE: f32 = 1e-8;
/// The greatest whole number of a bias, which leaves room for the sums.
const GREATEST_BIAS: f32 = (1 << 28) as f32;

/// The least and the greatest number of each value of a graph, over some pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    of_values: Vec<[f32; 2]>,
    pictures: usize,
}

impl Ranges {
    /// The most pictures that calibrate a graph.
    pub const PICTURES: usize = 100;

    /// Those of the first [`PICTURES`](Self::PICTURES) of these pictures, each with the values of the graph's input.
    ///
    /// # Errors
    /// [`VisionError::NotFinite`], or the first error of `pictures`.
    ///
    /// # Panics
    /// If a picture has not the input's size.
    pub fn of_pictures<E: From<VisionError>>(
        graph: &Graph,
        pictures: impl Iterator<Item = Result<Vec<f32>, E>>,
    ) -> Result<Self, E> {
        let (mut ranges, mut pictures) = (Self::new(graph), pictures.take(Self::PICTURES));
        loop {
            let batch: Vec<Vec<f32>> = pictures.by_ref().take(AT_ONCE).collect::<Result<_, _>>()?;
            if batch.is_empty() {
                return Ok(ranges);
            }
            ranges.observe(graph, &batch.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        }
    }

    /// Those of no picture.
    pub(super) fn new(graph: &Graph) -> Self {
        // Zero is in every range, so that the padding is exact.
        Self { of_values: vec![[0.0; 2]; graph.values().len()], pictures: 0 }
    }

    /// Widens the ranges by those of more pictures.
    pub(super) fn observe(&mut self, graph: &Graph, pictures: &[&[f32]]) -> Result<(), VisionError> {
        let seen = pictures.par_iter().map(|picture| {
            let mut ranges = Self::new(graph);
            let mut is_finite = true;
            run(graph, picture, |value, numbers| {
                let [least, greatest] = &mut ranges.of_values[value.0];
                for number in numbers {
                    *least = least.min(*number);
                    *greatest = greatest.max(*number);
                    is_finite &= number.is_finite();
                }
            });
            is_finite.then_some(ranges.of_values).ok_or(VisionError::NotFinite)
        });
        let seen: Vec<Vec<[f32; 2]>> = seen.collect::<Result<_, _>>()?;
        for ranges in &seen {
            self.of_values.iter_mut().zip(ranges).for_each(|(range, seen)| *range = union(*range, *seen));
        }
        self.pictures += pictures.len();
        Ok(())
    }

    /// The number of pictures.
    pub fn pictures(&self) -> usize {
        self.pictures
    }

    /// The scale of each value of the graph. Values that are copied have that of their copies.
    pub(super) fn scales(&self, graph: &Graph) -> Vec<Scale> {
        let mut ranges = self.of_values.clone();
        ranges[graph.input().0] = INPUT;
        // From the last operation on: what is concatenated comes before.
        for operation in graph.operations().iter().rev() {
            match operation {
                Operation::Reshape { input, output } => ranges[input.0] = ranges[output.0],
                Operation::Concatenation { inputs, output } => {
                    inputs.iter().for_each(|ValueId(input)| ranges[*input] = ranges[output.0]);
                }
                Operation::Convolution(_) | Operation::Addition { .. } | Operation::Scores { .. } => {}
            }
        }
        let mut scales: Vec<Scale> = ranges.into_iter().map(Scale::of).collect();
        for operation in graph.operations() {
            if let Operation::Scores { output, .. } = operation {
                scales[output.0] = SCORES;
            }
        }
        scales
    }
}

fn union([least, greatest]: [f32; 2], other: [f32; 2]) -> [f32; 2] {
    [least.min(other[0]), greatest.max(other[1])]
}

/// How numbers of -128 to 127 stand for a value: it is `scale * (number - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) scale: f32,
    pub(super) zero_point: i32,
}

impl Scale {
    /// That of a range, which has zero in it. A range of one number alone is that of zeros.
    fn of([least, greatest]: [f32; 2]) -> Self {
        let scale = (greatest - least) / 255.0;
        if scale < LEAST_SCALE {
            return Self { scale: 1.0, zero_point: 0 };
        }
        Self { scale, zero_point: (-128.0 - least / scale).round().clamp(-128.0, 127.0) as i32 }
    }
}

/// A convolution in whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WholeWeights {
    /// Row-major, of -127 to 127.
    pub(super) weights: Vec<i8>,
    /// One for each output.
    pub(super) scales: Vec<f32>,
    /// The dimension of the outputs.
    pub(super) dimension: i32,
    /// In multiples of the input's scale and the output's scale of weights.
    pub(super) bias: Vec<i32>,
    pub(super) bias_scales: Vec<f32>,
}

impl WholeWeights {
    /// With the scale of its input.
    pub(super) fn of(convolution: &Convolution, input: f32) -> Self {
        let Convolution { kernel, weights, bias, .. } = convolution;
        let outputs = bias.values.len();
        let of_output = weights.values.len() / outputs;
        let (dimension, output) = match kernel {
            Kernel::Full => (0, (|index, _, of_output| index / of_output) as fn(usize, usize, usize) -> usize),
            Kernel::Depthwise => (3, (|index, outputs, _| index % outputs) as fn(usize, usize, usize) -> usize),
        };
        let mut scales = vec![LEAST_SCALE; outputs];
        for (index, weight) in weights.values.iter().enumerate() {
            let scale = &mut scales[output(index, outputs, of_output)];
            *scale = scale.max(weight.abs() / 127.0);
        }
        for (scale, bias) in scales.iter_mut().zip(&bias.values) {
            *scale = scale.max(bias.abs() / (input * GREATEST_BIAS));
        }
        let whole = |(index, weight): (usize, &f32)| {
            (weight / scales[output(index, outputs, of_output)]).round().clamp(-127.0, 127.0) as i8
        };
        let bias_scales: Vec<f32> = scales.iter().map(|scale| input * scale).collect();
        Self {
            weights: weights.values.iter().enumerate().map(whole).collect(),
            dimension,
            bias: bias.values.iter().zip(&bias_scales).map(|(bias, scale)| (bias / scale).round() as i32).collect(),
            bias_scales,
            scales,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::{Activation, Weights};
    use super::*;

    fn weights(shape: &[usize], values: &[f32]) -> Weights {
        Weights { name: String::new(), shape: shape.to_vec(), values: values.to_vec() }
    }

    #[test]
    fn zero_is_exact_and_ranges_of_no_width_are_zeros() {
        for range in [[-1.0, 1.0], [0.0, 6.0], [-0.3, 2.0], [-5.0, 0.0]] {
            let Scale { scale, zero_point } = Scale::of(range);
            assert!((-128..=127).contains(&zero_point), "{range:?}");
            let ends = [-128, 127].map(|number| scale * (number - zero_point) as f32);
            assert!(
                ends.iter().zip(range).all(|(found, wanted)| (found - wanted).abs() <= scale / 2.0 + 1e-6),
                "{ends:?}"
            );
        }
        assert_eq!(Scale::of([0.0; 2]), Scale { scale: 1.0, zero_point: 0 });
    }

    #[test]
    fn each_output_has_its_scale_and_one_without_weights_keeps_its_bias() {
        let mut graph = Graph::new("x", [1, 1, 1, 2]);
        let kernels =
            [weights(&[3, 1, 1, 2], &[1.0, -2.0, 0.0, 0.0, 0.001, 0.0005]), weights(&[3], &[0.5, 0.25, -9.0])];
        graph.convolution("y".into(), graph.input(), Kernel::Full, kernels, 1, Activation::None);
        let Operation::Convolution(convolution) = &graph.operations()[0] else { panic!("a convolution") };
        let whole = WholeWeights::of(convolution, 0.01);
        assert_eq!((&whole.weights[..2], whole.dimension), (&[64, -127][..], 0));
        assert_eq!(&whole.weights[2..4], [0, 0]);
        for (output, expected) in [0.5, 0.25, -9.0].into_iter().enumerate() {
            let found = whole.bias[output] as f32 * whole.bias_scales[output];
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }

    #[test]
    fn values_that_are_joined_share_a_scale() {
        let mut graph = Graph::new("x", [1, 2, 2, 1]);
        let kernel = |factor: f32| [weights(&[1, 1, 1, 1], &[factor]), weights(&[1], &[0.0])];
        let rows = [1.0, 4.0].map(|factor| {
            let maps = graph.convolution("y".into(), graph.input(), Kernel::Full, kernel(factor), 1, Activation::None);
            graph.reshape("r".into(), maps, 1)
        });
        let all = graph.concatenation("all".into(), rows.to_vec());
        graph.answer(all);
        let of = |pictures: Vec<Vec<f32>>| Ranges::of_pictures::<VisionError>(&graph, pictures.into_iter().map(Ok));
        let ranges = of(vec![vec![-1.0, 0.5, 0.0, 1.0], vec![0.25; 4]]).unwrap();
        assert_eq!(ranges.pictures(), 2);
        let scales = ranges.scales(&graph);
        assert!(scales[1..].iter().all(|scale| *scale == scales[all.0]), "{scales:?}");
        assert!((scales[all.0].scale - 8.0 / 255.0).abs() < 1e-6, "{scales:?}");
        assert!(matches!(of(vec![vec![f32::NAN; 4]]), Err(VisionError::NotFinite)));
        assert_eq!(of(vec![vec![0.5; 4]; Ranges::PICTURES + 3]).unwrap().pictures(), Ranges::PICTURES);
    }
}
