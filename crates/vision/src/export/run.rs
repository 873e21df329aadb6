//! A graph run in float32, plainly: to see the ranges of its values.

use nn::kernels::Padding;

use super::graph::{Activation, Convolution, Graph, Kernel, Operation, Scores, ValueId};

/// Runs a graph for a picture, whose values are those of its input, row-major. `heed` sees each value.
///
/// # Panics
/// If the picture has not the input's size.
pub(crate) fn run(graph: &Graph, picture: &[f32], mut heed: impl FnMut(ValueId, &[f32])) {
    let input = graph.input();
    assert_eq!(picture.len(), graph.value(input).shape.iter().product::<usize>(), "the values of the input");
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); graph.values().len()];
    values[input.0] = picture.to_vec();
    heed(input, picture);
    for operation in graph.operations() {
        let computed = match operation {
            Operation::Convolution(convolution) => {
                let shape = &graph.value(convolution.input).shape;
                convolve(convolution, &values[convolution.input.0], [shape[1], shape[2], shape[3]])
            }
            Operation::Addition { inputs, .. } => {
                let [one, other] = inputs.map(|input| &values[input.0]);
                one.iter().zip(other).map(|(one, other)| one + other).collect()
            }
            Operation::Reshape { input, .. } => values[input.0].clone(),
            Operation::Concatenation { inputs, .. } => {
                inputs.iter().flat_map(|input| &values[input.0]).copied().collect()
            }
            Operation::Scores { input, scores, .. } => {
                let columns = graph.value(*input).shape.last().copied().unwrap_or(1);
                values[input.0].chunks(columns).flat_map(|row| as_scores(row, *scores)).collect()
            }
        };
        let output = operation.output();
        heed(output, &computed);
        values[output.0] = computed;
    }
}

/// Of maps `(rows, columns, inputs)`.
fn convolve(convolution: &Convolution, maps: &[f32], [rows, columns, inputs]: [usize; 3]) -> Vec<f32> {
    let Convolution { kernel, weights, bias, stride, activation, .. } = convolution;
    let (height, width, outputs) = (weights.shape[1], weights.shape[2], bias.values.len());
    let [top, left] =
        [(rows, height), (columns, width)].map(|(pixels, side)| Padding::Same.before(side, *stride, pixels));
    // Neighbouring outputs side by side.
    let taps: Vec<f32> = match kernel {
        Kernel::Depthwise => weights.values.clone(),
        Kernel::Full => {
            let places = height * width * inputs;
            (0..places * outputs).map(|index| weights.values[index % outputs * places + index / outputs]).collect()
        }
    };
    let mut out = Vec::with_capacity(rows.div_ceil(*stride) * columns.div_ceil(*stride) * outputs);
    for row in 0..rows.div_ceil(*stride) {
        for column in 0..columns.div_ceil(*stride) {
            let start = out.len();
            out.extend_from_slice(&bias.values);
            let sums = &mut out[start..];
            for place in 0..height * width {
                let source = |at: usize, shift: usize, before: usize, pixels: usize| {
                    (at * stride + shift).checked_sub(before).filter(|pixel| *pixel < pixels)
                };
                let (Some(y), Some(x)) =
                    (source(row, place / width, top, rows), source(column, place % width, left, columns))
                else {
                    continue;
                };
                let pixel = &maps[(y * columns + x) * inputs..][..inputs];
                match kernel {
                    Kernel::Depthwise => {
                        let taps = &taps[place * inputs..][..inputs];
                        sums.iter_mut().zip(pixel).zip(taps).for_each(|((sum, value), tap)| *sum += value * tap);
                    }
                    Kernel::Full => {
                        for (input, value) in pixel.iter().enumerate() {
                            let taps = &taps[(place * inputs + input) * outputs..][..outputs];
                            sums.iter_mut().zip(taps).for_each(|(sum, tap)| *sum += value * tap);
                        }
                    }
                }
            }
            if *activation == Activation::Relu6 {
                sums.iter_mut().for_each(|sum| *sum = sum.clamp(0.0, 6.0));
            }
        }
    }
    out
}

fn as_scores(row: &[f32], scores: Scores) -> Vec<f32> {
    match scores {
        Scores::Logistic => row.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect(),
        Scores::Softmax => {
            let most = row.iter().copied().fold(f32::MIN, f32::max);
            let powers: Vec<f32> = row.iter().map(|logit| (logit - most).exp()).collect();
            let sum: f32 = powers.iter().sum();
            powers.into_iter().map(|power| power / sum).collect()
        }
    }
}
