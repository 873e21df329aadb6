//! The sum of two convolutions.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::batch_norm2d::BatchNorm2d;
use super::conv2d;
use super::kernel;
use super::loader::{Execution, Loader};
use crate::kernels::{Epilogue, Pointwise, convolve_both};

/// The sum of two `torch.nn.Conv2d` with kernels of one pixel and normalizations, then `ReLU`, as one product of matrices: the end of a
/// residual block with a convolution in its shortcut. No map of the shortcut comes into being.
#[derive(Debug)]
pub struct SumConv2d {
    convolution: Arc<dyn Pointwise>,
    stride: usize,
    epilogue: Epilogue,
}

impl SumConv2d {
    /// `parts` are the loaders of each convolution and of its normalization, and its inputs. The stride is that of the second convolution.
    /// Burn's operations and training have no such layer: `None`.
    pub fn load(parts: [(&Loader, &Loader, usize); 2], outputs: usize, stride: usize) -> Option<Self> {
        let [(first, ..), _] = parts;
        if first.execution() == Execution::Burn || first.weights().training().is_some() {
            return None;
        }
        let inputs = parts.iter().map(|(_, _, inputs)| inputs).sum();
        let (mut weights, mut shift) = (vec![0.0; outputs * inputs], vec![0.0; outputs]);
        let mut before = 0;
        for (conv, norm, some) in parts {
            let norm = BatchNorm2d::load(norm, outputs);
            let (scales, shifts) = (norm.scale.values(), norm.shift.values());
            let data = conv.tensor::<4>("weight", [outputs, some, 1, 1]).into_data();
            let rows = weights.chunks_exact_mut(inputs).zip(kernel::floats(&data).chunks_exact(some));
            for ((row, values), scale) in rows.zip(&*scales) {
                row[before..][..some].iter_mut().zip(values).for_each(|(weight, value)| *weight = scale * value);
            }
            shift.iter_mut().zip(&*shifts).for_each(|(sum, shift)| *sum += shift);
            before += some;
            conv.weights().release("weight");
        }
        let convolution = conv2d::of_pixels(&weights, [outputs, inputs], 1, first.budget());
        let epilogue =
            Epilogue { shift: Some(shift.into()), slope: Some(vec![0.0; outputs].into()), ..Epilogue::default() };
        Some(Self { convolution, stride, epilogue })
    }

    /// Convolves `x` by the first convolution and `others` by the second one.
    pub fn forward(&self, x: Tensor<4>, others: Tensor<4>) -> Tensor<4> {
        convolve_both(x, others, self.stride, self.convolution.clone(), self.epilogue.clone())
    }
}
