//! RetinaFace (Deng et al. 2020, arXiv 1905.00641) as in `hukkelas/DSFD-Pytorch-Inference`: boxes of faces, and five points of
//! each: the eyes, the nose and the corners of the mouth, left before right as seen in the picture.

mod context;

use burn::tensor::Tensor;
use nn::layers::{After, Budget, Conv2d, Execution, Loader};

use crate::backbone::{Depth, Fpn, MobileNetV1, ResNet};
use crate::boxes::Level;
use context::ContextModule;

/// What is subtracted from the channels in the order in which a picture is handed over, before the order is reversed. The training
/// code had the means of blue and red the other way round for RGB. The service's answers depend on it.
pub const MEANS: [f32; 3] = [104.0, 117.0, 123.0];

/// The priors: two squares at every step.
pub const LEVELS: [Level; 3] = [
    Level { step: 8, sizes: &[[16.0, 16.0], [32.0, 32.0]] },
    Level { step: 16, sizes: &[[64.0, 64.0], [128.0, 128.0]] },
    Level { step: 32, sizes: &[[256.0, 256.0], [512.0, 512.0]] },
];
/// The last stage of ResNet-50 begins with a convolution of 3 million weights for few pixels: Strassen's algorithm gains no time there, and
/// takes 9 MB.
const BUDGET: Budget = Budget { strassen: [Budget::OF_LARGE_MAPS.strassen[0], 1024 * 2048], ..Budget::OF_LARGE_MAPS };
/// Priors of a cell.
const SQUARES: usize = 2;

/// The values of a prior: logits, offsets of the box, and offsets of the points.
const CLASSES: usize = 2;
const OFFSETS: usize = 4;
const POINTS: usize = 10;
/// The heads, and the values of a prior.
const HEADS: [(&str, usize); 3] = [("ClassHead", CLASSES), ("BboxHead", OFFSETS), ("LandmarkHead", POINTS)];

/// The feature extractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// ResNet-50.
    ResNet50,
    /// MobileNetV1 with a quarter of its channels.
    MobileNetV1,
}

impl Body {
    /// The channels of the pyramid.
    fn channels(self) -> usize {
        match self {
            Self::ResNet50 => 256,
            Self::MobileNetV1 => 64,
        }
    }

    /// The slope of the activations of pyramid and context modules below zero.
    fn slope(self) -> f32 {
        if self.channels() <= 64 { 0.1 } else { 0.0 }
    }
}

/// The network.
#[derive(Debug)]
pub struct RetinaFace {
    body: Extractor,
    fpn: Fpn,
    ssh: [ContextModule; 3],
    /// The three heads of a level as one convolution: classes, boxes, points.
    heads: [Conv2d; 3],
    execution: Execution,
}

#[derive(Debug)]
enum Extractor {
    ResNet(Box<ResNet>),
    MobileNetV1(Box<MobileNetV1>),
}

/// The values of a cell of a level: for each of the [heads](HEADS), those of both priors.
pub type Cell = [f32; SQUARES * (CLASSES + OFFSETS + POINTS)];

/// What the network answers for a prior.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    cell: &'a Cell,
    square: usize,
}

impl<'a> Answer<'a> {
    /// For the prior of an index, from the cells of all levels.
    ///
    /// # Panics
    /// If there are not as many priors.
    pub fn new(cells: &[&'a Cell], prior: usize) -> Self {
        Self { cell: cells[prior / SQUARES], square: prior % SQUARES }
    }

    /// The logits of the background and of a face.
    pub fn logits(self) -> [f32; 2] {
        self.values(0)
    }

    /// The offsets of the box.
    pub fn box_offsets(self) -> [f32; 4] {
        self.values(SQUARES * CLASSES)
    }

    /// The offsets of the five points.
    pub fn point_offsets(self) -> [[f32; 2]; 5] {
        let offsets: [f32; POINTS] = self.values(SQUARES * (CLASSES + OFFSETS));
        std::array::from_fn(|point| [offsets[2 * point], offsets[2 * point + 1]])
    }

    /// The values of a head. `first` is where those of the head begin in a cell.
    fn values<const N: usize>(self, first: usize) -> [f32; N] {
        *self.cell[first + self.square * N..].first_chunk().expect("a cell has the values of all heads")
    }
}

/// The maps on the way, largest first.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Features {
    pub(crate) body: [Tensor<4>; 3],
    pub(crate) fpn: [Tensor<4>; 3],
    pub(crate) ssh: [Tensor<4>; 3],
}

impl RetinaFace {
    /// Under the names of the published checkpoints.
    pub fn load(loader: &Loader, body: Body) -> Self {
        let loader = &loader.clone().with_budget(BUDGET);
        let channels = body.channels();
        let (extractor, inputs) = match body {
            Body::ResNet50 => {
                let [_, inputs @ ..] = Depth::Layers50.channels();
                (Extractor::ResNet(Box::new(ResNet::load(&loader.at("body"), Depth::Layers50))), inputs)
            }
            Body::MobileNetV1 => {
                let network = MobileNetV1::load(&loader.at("body"));
                (Extractor::MobileNetV1(Box::new(network)), MobileNetV1::CHANNELS)
            }
        };
        let ssh = |level: usize| ContextModule::load(&loader.at(format!("ssh{}", level + 1)), channels, body.slope());
        let heads = |level: usize| {
            let heads = HEADS.map(|(name, values)| (loader.at(name).at(level).at("conv1x1"), SQUARES * values));
            Conv2d::joined(&heads, channels)
        };
        Self {
            body: extractor,
            fpn: Fpn::load(&loader.at("fpn"), inputs, channels, body.slope()),
            ssh: [0, 1, 2].map(ssh),
            heads: [0, 1, 2].map(heads),
            execution: loader.execution(),
        }
    }

    /// The [cells](Cell) of each level, `(images, height, width, values)`, for pictures `(images, height, width, 3)`: channels minus
    /// their [means](MEANS), in reversed order.
    pub fn forward(&self, pictures: Tensor<4>) -> [Tensor<4>; 3] {
        let [large, middle, small] = self.fpn.forward(self.body(pictures));
        // The maps of a level are freed before those of the next one are computed.
        let level = |level: usize, maps: Tensor<4>| {
            let maps = self.ssh[level].forward(maps);
            self.execution.channels_innermost(self.heads[level].forward(maps, None, &After::Nothing))
        };
        [level(0, large), level(1, middle), level(2, small)]
    }

    fn body(&self, pictures: Tensor<4>) -> [Tensor<4>; 3] {
        let pictures = self.execution.arrange(pictures);
        match &self.body {
            Extractor::ResNet(network) => network.last_three(pictures),
            Extractor::MobileNetV1(network) => network.forward(pictures),
        }
    }

    #[cfg(test)]
    pub(crate) fn features(&self, pictures: Tensor<4>) -> Features {
        let body = self.body(pictures);
        let fpn = self.fpn.forward(body.clone());
        let [first, second, third] = &self.ssh;
        let [large, middle, small] = fpn.clone();
        let ssh = [first.forward(large), second.forward(middle), third.forward(small)];
        Features { body, fpn, ssh }
    }
}

#[cfg(test)]
mod golden;
