//! The encoder of pixel2style2pixel (Richardson et al. 2021, arXiv 2008.00951, section 3): the body of a face recognition network,
//! a feature pyramid on three of its stages, and for each style of the generator a small network on a level of the pyramid.

use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use nn::kernels::{UpsampleAdd, update};
use nn::layers::{After, BatchNorm2d, Conv2d, Execution, Loader, PReLU, SqueezeExcitation};

use super::STYLE_DIM;
use super::equal_linear::EqualLinear;

/// The units of IR-SE-50's four stages, and their output channels. Each stage halves the size first.
const STAGES: [(usize, usize); 4] = [(3, 64), (4, 128), (14, 256), (3, 512)];
/// The units after which the pyramid takes its features: 64, 32 and 16 pixels wide for a face of 256.
const LATERAL: [usize; 3] = [6, 20, 23];
/// Styles below the first number are coarse ones. Those below the second are middle ones, and the others fine ones.
const COARSE: usize = 3;
const MIDDLE: usize = 7;
/// PyTorch's slope of `LeakyReLU`.
const NEGATIVE_SLOPE: f32 = 0.01;
/// The factor by which `SEModule` squeezes the channels.
const REDUCTION: usize = 16;

/// From a face to the styles of the generator.
#[derive(Debug)]
pub(super) struct GradualStyleEncoder {
    input_layer: (Conv2d, BatchNorm2d, PReLU),
    body: Vec<BottleneckIrSe>,
    styles: Vec<GradualStyleBlock>,
    latlayer1: Conv2d,
    latlayer2: Conv2d,
    execution: Execution,
}

impl GradualStyleEncoder {
    /// For pictures of `channels`, to `styles`.
    pub(super) fn load(loader: &Loader, channels: usize, styles: usize) -> Self {
        let input_layer = loader.at("input_layer");
        let units = STAGES.iter().scan(STAGES[0].1, |inputs, &(units, outputs)| {
            let first = (std::mem::replace(inputs, outputs), outputs, 2);
            Some(std::iter::once(first).chain(std::iter::repeat_n((outputs, outputs, 1), units - 1)))
        });
        let unit = |(index, (inputs, outputs, stride))| {
            BottleneckIrSe::load(&loader.at("body").at(index), [inputs, outputs], stride)
        };
        let style = |index| GradualStyleBlock::load(&loader.at("styles").at(index), side_of(index));
        let lateral = |name, inputs| {
            let loader = loader.at(name);
            Conv2d::load(&loader, [inputs, STYLE_DIM], 1, 1).with_bias(&loader)
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
            execution: loader.execution(),
        }
    }

    /// Faces `(batch, channels, 256, 256)` with values of -1 to 1 to codes `(batch, styles, 512)`. The kernels of the CPU take
    /// faces `(batch, 256, 256, channels)`.
    pub(super) fn forward(&self, faces: Tensor<4>) -> Tensor<3> {
        let [c3, p2, p1] = if self.execution == Execution::Kernels {
            // Large maps are computed one by one, to stay in the cache. Small ones are batched, to read weights once.
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

    /// The top, upsampled to the size of the lateral maps, plus those.
    fn upsample_add(&self, top: Tensor<4>, lateral: Tensor<4>) -> Tensor<4> {
        if self.execution == Execution::Kernels {
            return update(UpsampleAdd, top, lateral);
        }
        let [.., height, width] = lateral.dims();
        let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size([height, width]);
        interpolate(top, options.with_align_corners(true)) + lateral
    }
}

/// The multiplications of the convolutions for one face of `channels`.
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

/// The width of the features that a style is computed from, in pixels.
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
    /// `None` where the shortcut is the input, or every other pixel of it.
    shortcut_layer: Option<(Conv2d, BatchNorm2d)>,
    res_layer: (BatchNorm2d, Conv2d, PReLU, Conv2d, BatchNorm2d, SqueezeExcitation),
    stride: usize,
}

impl BottleneckIrSe {
    fn load(loader: &Loader, [inputs, outputs]: [usize; 2], stride: usize) -> Self {
        let (shortcut, res) = (loader.at("shortcut_layer"), loader.at("res_layer"));
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
            SqueezeExcitation::load(&res.at(5), outputs, REDUCTION),
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

/// "map2style": halves the size of a level of the pyramid until one pixel remains, the code.
#[derive(Debug)]
struct GradualStyleBlock {
    convs: Vec<Conv2d>,
    linear: EqualLinear,
}

impl GradualStyleBlock {
    /// For features of a width of `side` pixels, a power of two.
    fn load(loader: &Loader, side: usize) -> Self {
        let conv = |index: u32| {
            // An activation without weights is between two convolutions.
            let loader = loader.at("convs").at(2 * index);
            Conv2d::of_maps(&loader, [STYLE_DIM; 2], 3, 2, side >> index).with_bias(&loader)
        };
        Self {
            convs: (0..side.ilog2()).map(conv).collect(),
            linear: EqualLinear::load(&loader.at("linear"), [STYLE_DIM; 2]),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.convs.iter().fold(x, |x, conv| conv.forward(x, None, &After::LeakyReLU(NEGATIVE_SLOPE)));
        let [batch, ..] = x.dims();
        self.linear.forward(x.reshape([batch, STYLE_DIM]))
    }
}
