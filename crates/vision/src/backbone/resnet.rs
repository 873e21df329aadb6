//! ResNet (He et al. 2016, arXiv 1512.03385) as torchvision and Detectron2 have it.

use burn::tensor::Tensor;
use nn::layers::{Loader, SumConv2d};

use super::conv_norm::ConvNorm;

/// The number of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// 18.
    Layers18,
    /// 34.
    Layers34,
    /// 50.
    Layers50,
    /// 101.
    Layers101,
    /// 152.
    Layers152,
}

impl Depth {
    /// The depth of so many layers.
    pub fn of(layers: usize) -> Option<Self> {
        Some(match layers {
            18 => Self::Layers18,
            34 => Self::Layers34,
            50 => Self::Layers50,
            101 => Self::Layers101,
            152 => Self::Layers152,
            _ => return None,
        })
    }

    /// The blocks of each stage.
    pub fn blocks(self) -> [usize; 4] {
        match self {
            Self::Layers18 => [2, 2, 2, 2],
            Self::Layers34 | Self::Layers50 => [3, 4, 6, 3],
            Self::Layers101 => [3, 4, 23, 3],
            Self::Layers152 => [3, 8, 36, 3],
        }
    }

    /// The factor from a stage's width to its output channels: 4 where blocks are bottlenecks.
    fn expansion(self) -> usize {
        if matches!(self, Self::Layers18 | Self::Layers34) { 1 } else { 4 }
    }

    /// The output channels of each stage.
    pub fn channels(self) -> [usize; 4] {
        WIDTHS.map(|width| width * self.expansion())
    }
}

/// The names of a block's layers, and the place of a bottleneck's stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// torchvision's: `conv1` beside `bn1`, and `downsample`. The stride is that of the 3x3 convolution.
    Torchvision,
    /// Detectron2's: `conv1` with `conv1.norm`, and `shortcut`.
    Detectron2 {
        /// Whether the stride is that of the first 1x1 convolution, as in Caffe's networks.
        stride_in_1x1: bool,
    },
}

impl Style {
    /// The loaders of a convolution and of its normalization.
    fn conv<'a>(self, block: &Loader<'a>, index: usize) -> [Loader<'a>; 2] {
        let conv = block.at(format!("conv{index}"));
        let norm = match self {
            Self::Torchvision => block.at(format!("bn{index}")),
            Self::Detectron2 { .. } => conv.at("norm"),
        };
        [conv, norm]
    }

    /// The loaders of the shortcut's convolution and of its normalization.
    fn shortcut<'a>(self, block: &Loader<'a>) -> [Loader<'a>; 2] {
        match self {
            Self::Torchvision => [0, 1].map(|layer| block.at("downsample").at(layer)),
            Self::Detectron2 { .. } => {
                let conv = block.at("shortcut");
                [conv.clone(), conv.at("norm")]
            }
        }
    }
}

/// The channels of a stage's 3x3 convolutions.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];

/// From pictures of three channels to maps of 64 channels at a quarter of the size.
#[derive(Debug)]
pub struct Stem(ConvNorm);

impl Stem {
    /// From the loaders of the convolution and of the normalization.
    pub fn load(conv: &Loader, norm: &Loader) -> Self {
        Self(ConvNorm::pooled(conv, norm, [3, WIDTHS[0]], 7, 2))
    }

    /// In the layout of the loader's execution.
    pub fn forward(&self, pictures: Tensor<4>) -> Tensor<4> {
        self.0.forward_leaky(pictures, 0.0)
    }
}

/// Blocks of one width. The first stage keeps the size, and the others halve it.
#[derive(Debug)]
pub struct Stage(Vec<Block>);

impl Stage {
    /// Stage `index`, 0 to 3, from the loader of its `Sequential`.
    pub fn load(loader: &Loader, depth: Depth, index: usize) -> Self {
        Self::styled(loader, depth, index, Style::Torchvision)
    }

    /// The same with its blocks in a style.
    pub fn styled(loader: &Loader, depth: Depth, index: usize, style: Style) -> Self {
        let (width, outputs) = (WIDTHS[index], depth.channels()[index]);
        let block = |block: usize| {
            let inputs = match (block, index) {
                (0, 0) => WIDTHS[0],
                (0, _) => depth.channels()[index - 1],
                _ => outputs,
            };
            let stride = if block == 0 && index > 0 { 2 } else { 1 };
            Block::load(&loader.at(block), [inputs, width, outputs], stride, style)
        };
        Self((0..depth.blocks()[index]).map(block).collect())
    }

    /// In the layout of the loader's execution.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.later_blocks(self.first_block(x))
    }

    /// The first block alone, which changes the channels, and the size if the stage does.
    pub(crate) fn first_block(&self, x: Tensor<4>) -> Tensor<4> {
        self.0[0].forward(x)
    }

    /// The blocks after the first one.
    pub(crate) fn later_blocks(&self, x: Tensor<4>) -> Tensor<4> {
        self.0[1..].iter().fold(x, |x, block| block.forward(x))
    }
}

/// `BasicBlock`, or `Bottleneck` where the outputs are more than the width.
#[derive(Debug)]
struct Block {
    /// All but the last.
    convs: Vec<ConvNorm>,
    end: End,
}

/// The last convolution of a block, and its shortcut.
#[derive(Debug)]
enum End {
    /// The shortcut is the input.
    Plain(Box<ConvNorm>),
    /// The shortcut has a convolution.
    Downsampled(Box<[ConvNorm; 2]>),
    /// The same, with both convolutions as one.
    Sum(SumConv2d),
}

impl Block {
    fn load(loader: &Loader, [inputs, width, outputs]: [usize; 3], stride: usize, style: Style) -> Self {
        let conv = |index, channels, side, stride| {
            let [conv, norm] = style.conv(loader, index);
            ConvNorm::named(&conv, &norm, channels, side, stride)
        };
        let is_basic = width == outputs;
        let (convs, last, side) = if is_basic {
            (vec![conv(1, [inputs, width], 3, stride)], 2, 3)
        } else {
            let (first, second) = match style {
                Style::Detectron2 { stride_in_1x1: true } => (stride, 1),
                _ => (1, stride),
            };
            (vec![conv(1, [inputs, width], 1, first), conv(2, [width; 2], 3, second)], 3, 1)
        };
        let end = if inputs == outputs && stride == 1 {
            End::Plain(Box::new(conv(last, [width, outputs], side, 1)))
        } else {
            let ([last_conv, last_norm], [down, down_norm]) = (style.conv(loader, last), style.shortcut(loader));
            let parts = [(&last_conv, &last_norm, width), (&down, &down_norm, inputs)];
            let sum = if is_basic { None } else { SumConv2d::load(parts, outputs, stride) };
            sum.map(End::Sum).unwrap_or_else(|| {
                let last = conv(last, [width, outputs], side, 1);
                let downsample = ConvNorm::named(&down, &down_norm, [inputs, outputs], 1, stride);
                End::Downsampled(Box::new([last, downsample]))
            })
        };
        Self { convs, end }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let inner = self.convs.iter().fold(x.clone(), |x, conv| conv.forward_leaky(x, 0.0));
        match &self.end {
            End::Plain(conv) => conv.forward_add(inner, x),
            // The shortcut comes last: its maps are large, and the convolutions before need not wait beside them.
            End::Downsampled(convs) => {
                let [conv, downsample] = &**convs;
                conv.forward_add(inner, downsample.forward(x))
            }
            End::Sum(convs) => convs.forward(inner, x),
        }
    }
}

/// The whole network without its classifier.
#[derive(Debug)]
pub struct ResNet {
    stem: Stem,
    stages: [Stage; 4],
}

impl ResNet {
    /// Under torchvision's names.
    pub fn load(loader: &Loader, depth: Depth) -> Self {
        let stage = |index| Stage::load(&loader.at(format!("layer{}", index + 1)), depth, index);
        Self { stem: Stem::load(&loader.at("conv1"), &loader.at("bn1")), stages: [0, 1, 2, 3].map(stage) }
    }

    /// As a `Sequential` of torchvision's modules, in which activation and pooling have the indices 2 and 3.
    pub fn load_sequential(loader: &Loader, depth: Depth) -> Self {
        let stage = |index| Stage::load(&loader.at(index + 4), depth, index);
        Self { stem: Stem::load(&loader.at(0), &loader.at(1)), stages: [0, 1, 2, 3].map(stage) }
    }

    /// The maps after each stage: at a quarter, an eighth, a 16th and a 32nd of the size.
    pub fn forward(&self, pictures: Tensor<4>) -> [Tensor<4>; 4] {
        let [_, maps @ ..] = self.features(pictures);
        maps
    }

    /// The maps after the last three stages. Those before them are freed on the way.
    pub(crate) fn last_three(&self, pictures: Tensor<4>) -> [Tensor<4>; 3] {
        let [first, second, third, last] = &self.stages;
        let second = second.forward(first.forward(self.stem.forward(pictures)));
        let third = third.forward(second.clone());
        let last = last.forward(third.clone());
        [second, third, last]
    }

    /// The maps after the stem, then those after each stage.
    pub(crate) fn features(&self, pictures: Tensor<4>) -> [Tensor<4>; 5] {
        let mut x = self.stem.forward(pictures);
        let [first, second, third, last] = &self.stages;
        [None, Some(first), Some(second), Some(third), Some(last)].map(|stage| {
            if let Some(stage) = stage {
                x = stage.forward(x.clone());
            }
            x.clone()
        })
    }
}
