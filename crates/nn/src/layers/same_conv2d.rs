//! A convolution of TensorFlow with the padding `SAME`.

use burn::tensor::Tensor;

use super::batch_norm2d::BatchNorm2d;
use super::conv2d::{After, Conv2d};
use super::loader::Loader;

/// A convolution without a bias, with TensorFlow's padding `SAME`: with a stride of 2, an even number of pixels is padded at the
/// right and lower edges alone. A normalization comes after it, then `ReLU6`.
#[derive(Debug)]
pub struct SameConv2d(Conv2d);

impl SameConv2d {
    /// From inputs to outputs.
    pub fn load(loader: &Loader, channels: [usize; 2], side: usize, stride: usize) -> Self {
        Self(Conv2d::same(loader, channels, side, stride))
    }

    /// With a 3x3 or 5x5 kernel for each of `channels`.
    pub fn depthwise(loader: &Loader, channels: usize, side: usize, stride: usize) -> Self {
        Self(Conv2d::same_depthwise(loader, channels, side, stride))
    }

    /// In the layout of the loader's execution.
    pub fn forward_relu6(&self, x: Tensor<4>, norm: &BatchNorm2d) -> Tensor<4> {
        self.0.forward(x, None, &After::BatchNorm2dReLU6(norm))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, FloatDType};

    use super::*;
    use crate::layers::Execution;
    use crate::{Device, made_up, weights};

    const CHANNELS: usize = 24;

    /// A layer of each kind, with its normalization.
    fn layers(loader: &Loader, side: usize, stride: usize) -> [(SameConv2d, BatchNorm2d); 2] {
        let norm = |name: &str| BatchNorm2d::with_epsilon(&loader.at(name), CHANNELS, 1e-3);
        [
            (SameConv2d::load(&loader.at("stem"), [CHANNELS; 2], side, stride), norm("first")),
            (SameConv2d::depthwise(&loader.at("depthwise"), CHANNELS, side, stride), norm("second")),
        ]
    }

    #[test]
    fn the_kernels_equal_burn_on_even_and_odd_sizes() {
        let device = Device::Cpu.burn();
        for (side, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            let tensors =
                weights::list(|weights| layers(&Loader::new(weights, Execution::Burn), side, stride)).into_iter();
            let checkpoint =
                made_up(
                    "made up",
                    tensors,
                    |name, _| {
                        if name.ends_with("running_var") { (0.3, 1.0) } else { (0.3, 0.1) }
                    },
                );
            let loaded = [Execution::Kernels, Execution::Burn].map(|execution| {
                let load = |weights: &weights::Weights| layers(&Loader::new(weights, execution), side, stride);
                (execution, weights::load(&checkpoint, &device, FloatDType::F32, load).unwrap())
            });
            for [height, width] in [[1, 1], [2, 7], [8, 9], [10, 12]] {
                let maps: Tensor<4> =
                    Tensor::random([2, height, width, CHANNELS], Distribution::Uniform(-1.0, 1.0), &device);
                for index in 0..2 {
                    let [fast, reference] = loaded.each_ref().map(|(execution, layers)| {
                        let (conv, norm) = &layers[index];
                        let out = conv.forward_relu6(execution.arrange(maps.clone()), norm);
                        execution.channels_innermost(out)
                    });
                    assert_eq!(fast.dims(), [2, height.div_ceil(stride), width.div_ceil(stride), CHANNELS]);
                    let furthest: f32 = (fast - reference).abs().max().into_scalar();
                    assert!(furthest < 1e-5, "{side}, {stride}, {height} x {width}: {furthest}");
                }
            }
        }
    }
}
