//! The encoder of pixel2style2pixel (Richardson et al. 2021, arXiv 2008.00951, section 3): a face recognition body, a feature
//! pyramid on three of its stages, and a small network from a level of the pyramid to each style of the generator.

use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};

use super::STYLE_DIM;
use super::layer::{After, BatchNorm2d, Conv2d, EqualLinear, PReLU, SEModule};
use crate::checkpoint::Weights;
use crate::kernels::{Merge, merge};

/// The units of IR-SE-50's four stages, and the channels that they put out; each stage halves the size first.
const STAGES: [(usize, usize); 4] = [(3, 64), (4, 128), (14, 256), (3, 512)];
/// The units after which the pyramid takes its features: 64, 32 and 16 pixels wide for a face of 256.
const LATERAL: [usize; 3] = [6, 20, 23];
/// The styles below which are coarse ones; below the second number they are middle ones, and fine ones from there on.
const COARSE: usize = 3;
const MIDDLE: usize = 7;
/// PyTorch's slope of `LeakyReLU`.
const NEGATIVE_SLOPE: f32 = 0.01;
/// How far `SEModule` reduces the channels.
const REDUCTION: usize = 16;

/// From a face to the styles of the generator.
#[derive(Debug)]
pub(super) struct GradualStyleEncoder {
    input_layer: (Conv2d, BatchNorm2d, PReLU),
    body: Vec<BottleneckIrSe>,
    styles: Vec<GradualStyleBlock>,
    latlayer1: Conv2d,
    latlayer2: Conv2d,
    /// Whether channels lie side by side, as the kernels of the CPU have them.
    channels_last: bool,
}

impl GradualStyleEncoder {
    /// For pictures of so many channels, and so many styles.
    pub(super) fn load(weights: &Weights, channels: usize, styles: usize) -> Self {
        let input_layer = weights.at("input_layer");
        let units = STAGES.iter().scan(STAGES[0].1, |inputs, &(units, outputs)| {
            let first = (std::mem::replace(inputs, outputs), outputs, 2);
            Some(std::iter::once(first).chain(std::iter::repeat_n((outputs, outputs, 1), units - 1)))
        });
        let unit = |(index, (inputs, outputs, stride))| {
            BottleneckIrSe::load(&weights.at("body").at(index), [inputs, outputs], stride)
        };
        let style = |index| GradualStyleBlock::load(&weights.at("styles").at(index), side_of(index));
        let lateral = |name, inputs| {
            let weights = weights.at(name);
            Conv2d::load(&weights, [inputs, STYLE_DIM], 1, 1).with_bias(&weights)
        };
        Self {
            input_layer: (
                Conv2d::load(&input_layer.at(0), [channels, 64], 3, 1),
                BatchNorm2d::load(&input_layer.at(1), 64),
                PReLU::load(&input_layer.at(2), 64),
            ),
            body: units.flatten().enumerate().map(unit).collect(),
            styles: (0..styles).map(style).collect(),
            latlayer1: lateral("latlayer1", 256),
            latlayer2: lateral("latlayer2", 128),
            channels_last: weights.prepares(),
        }
    }

    /// Faces `(batch, channels, 256, 256)` with values of -1 to 1 to codes `(batch, styles, 512)`. For the kernels of the CPU
    /// faces are `(batch, 256, 256, 16)`, with zeros for missing channels.
    pub(super) fn forward(&self, faces: Tensor<4>) -> Tensor<3> {
        let [c3, p2, p1] = if self.channels_last {
            // Large maps one after the other, so that they stay in the cache; small ones together, so that weights are read once.
            let [images, ..] = faces.dims();
            let pyramids: Vec<_> = (0..images).map(|image| self.pyramid(faces.clone().narrow(0, image, 1))).collect();
            [0, 1, 2].map(|level| Tensor::cat(pyramids.iter().map(|pyramid| pyramid[level].clone()).collect(), 0))
        } else {
            self.pyramid(faces)
        };
        let codes = self.styles.iter().enumerate().map(|(index, style)| {
            style.forward(
                if index < COARSE {
                    &c3
                } else if index < MIDDLE {
                    &p2
                } else {
                    &p1
                }
                .clone(),
            )
        });
        Tensor::stack(codes.collect(), 1)
    }

    /// Features 16, 32 and 64 pixels wide.
    fn pyramid(&self, faces: Tensor<4>) -> [Tensor<4>; 3] {
        let (conv, norm, activation) = &self.input_layer;
        let mut x = conv.forward(faces, None, &After::BatchNorm2dPReLU(norm, activation));
        let mut lateral = Vec::with_capacity(LATERAL.len());
        for (index, unit) in self.body.iter().enumerate() {
            x = unit.forward(x);
            if LATERAL.contains(&index) {
                lateral.push(x.clone());
            }
        }
        let [c1, c2, c3] = lateral.try_into().expect("the body has every lateral unit");
        let p2 = self.upsample_add(c3.clone(), self.latlayer1.forward(c2, None, &After::Nothing));
        let p1 = self.upsample_add(p2.clone(), self.latlayer2.forward(c1, None, &After::Nothing));
        [c3, p2, p1]
    }

    /// The top, enlarged to the size of what comes from the side, plus that.
    fn upsample_add(&self, top: Tensor<4>, lateral: Tensor<4>) -> Tensor<4> {
        if self.channels_last {
            return merge(top, lateral, Merge::Enlarge);
        }
        let [.., height, width] = lateral.dims();
        let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size([height, width]);
        interpolate(top, options.with_align_corners(true)) + lateral
    }
}

/// The multiplications of the convolutions that one face of so many channels takes.
pub(super) fn multiplications(channels: usize, styles: usize) -> u64 {
    let mut side = super::FACE as usize;
    let mut sum = side * side * channels * STAGES[0].1 * 9;
    let mut inputs = STAGES[0].1;
    let mut lateral = 0;
    let mut unit = 0;
    for (units, outputs) in STAGES {
        for stride in std::iter::once(2).chain(std::iter::repeat_n(1, units - 1)) {
            sum += side * side * inputs * outputs * 9;
            side /= stride;
            sum += side * side * outputs * outputs * 9;
            if inputs != outputs {
                sum += side * side * inputs * outputs;
            }
            inputs = outputs;
            if LATERAL[..2].contains(&unit) {
                lateral += side * side * outputs * STYLE_DIM;
            }
            unit += 1;
        }
    }
    let head = |side: usize| {
        (1..=side.ilog2()).map(|halved| (side >> halved).pow(2)).sum::<usize>() * STYLE_DIM * STYLE_DIM * 9
    };
    let heads = (0..styles).map(|index| head(side_of(index))).sum::<usize>();
    (sum + lateral + heads) as u64
}

/// The width of the features that a style is made of, in pixels.
fn side_of(style: usize) -> usize {
    if style < COARSE {
        16
    } else if style < MIDDLE {
        32
    } else {
        64
    }
}

/// `bottleneck_IR_SE`: a residual unit of ArcFace's improved ResNet with squeeze and excitation.
#[derive(Debug)]
struct BottleneckIrSe {
    /// None where only pixels are left out, if anything.
    shortcut_layer: Option<(Conv2d, BatchNorm2d)>,
    res_layer: (BatchNorm2d, Conv2d, PReLU, Conv2d, BatchNorm2d, SEModule),
    stride: usize,
}

impl BottleneckIrSe {
    fn load(weights: &Weights, [inputs, outputs]: [usize; 2], stride: usize) -> Self {
        let (shortcut, res) = (weights.at("shortcut_layer"), weights.at("res_layer"));
        let shortcut_layer = if inputs == outputs {
            None
        } else {
            let conv = Conv2d::load(&shortcut.at(0), [inputs, outputs], 1, stride);
            Some((conv, BatchNorm2d::load(&shortcut.at(1), outputs)))
        };
        let res_layer = (
            BatchNorm2d::load(&res.at(0), inputs),
            Conv2d::load(&res.at(1), [inputs, outputs], 3, 1),
            PReLU::load(&res.at(2), outputs),
            Conv2d::load(&res.at(3), [outputs, outputs], 3, stride),
            BatchNorm2d::load(&res.at(4), outputs),
            SEModule::load(&res.at(5), outputs, REDUCTION),
        );
        Self { shortcut_layer, res_layer, stride }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (shortcut, stride) = match &self.shortcut_layer {
            Some((conv, norm)) => (conv.forward(x.clone(), None, &After::BatchNorm2d(norm)), 1),
            None => (x.clone(), self.stride),
        };
        let (norm, conv, activation, strided, last_norm, se) = &self.res_layer;
        let x = conv.forward(x, Some(norm), &After::PReLU(activation));
        se.forward(strided.forward(x, None, &After::BatchNorm2d(last_norm)), shortcut, stride)
    }
}

/// "map2style": halves a level of the pyramid until one pixel is left, the code.
#[derive(Debug)]
struct GradualStyleBlock {
    convs: Vec<Conv2d>,
    linear: EqualLinear,
}

impl GradualStyleBlock {
    /// For features so many pixels wide, a power of two.
    fn load(weights: &Weights, side: usize) -> Self {
        let conv = |index: u32| {
            // An activation without weights lies between two of them.
            let weights = weights.at("convs").at(2 * index);
            Conv2d::of_maps(&weights, [STYLE_DIM; 2], 3, 2, side >> index).with_bias(&weights)
        };
        Self {
            convs: (0..side.ilog2()).map(conv).collect(),
            linear: EqualLinear::load(&weights.at("linear"), [STYLE_DIM; 2]),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.convs.iter().fold(x, |x, conv| conv.forward(x, None, &After::LeakyReLU(NEGATIVE_SLOPE)));
        let [batch, ..] = x.dims();
        self.linear.forward(x.reshape([batch, STYLE_DIM]))
    }
}
