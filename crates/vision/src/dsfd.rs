//! DSFD, *Dual Shot Face Detector* (Li et al. 2019, arXiv 1810.10220), as in `hukkelas/DSFD-Pytorch-Inference`: the second shot,
//! on ResNet-152.

mod enhance;
mod head;

use burn::tensor::Tensor;
use nn::layers::{After, Budget, Conv2d, Execution, Loader};

use crate::backbone::{ConvNorm, Depth, Stage, Stem};
use crate::boxes::{Level, Priors};
use enhance::EnhanceModule;
use head::Head;

/// What is subtracted from the channels in the order in which a picture is handed over, before the order is reversed.
pub const MEANS: [f32; 3] = [123.0, 117.0, 104.0];
/// The square root of the priors' height over their width, 1.5.
const ROOT: f64 = 1.224_744_871_391_589;
const fn upright(size: f64) -> [f64; 2] {
    [size / ROOT, size * ROOT]
}

/// The priors: an upright rectangle at every step.
pub const LEVELS: [Level; 6] = [
    Level { step: 4, sizes: &[upright(16.0)] },
    Level { step: 8, sizes: &[upright(32.0)] },
    Level { step: 16, sizes: &[upright(64.0)] },
    Level { step: 32, sizes: &[upright(128.0)] },
    Level { step: 64, sizes: &[upright(256.0)] },
    Level { step: 128, sizes: &[upright(512.0)] },
];
/// The enhance modules, level by level, and their input channels.
const ENHANCE: [(&str, usize); 6] =
    [("cpm3_3", 256), ("cpm4_3", 512), ("cpm5_3", 1024), ("cpm7", 2048), ("cpm6_2", 512), ("cpm7_2", 256)];
/// The outputs of the heads in the checkpoint. Only the first four are used.
const OFFSETS: [usize; 6] = [4, 8, 12, 12, 12, 12];
const LOGITS: [usize; 6] = [4, 6, 8, 8, 8, 8];

/// The network.
#[derive(Debug)]
pub struct Dsfd {
    stem: Stem,
    stages: [Stage; 4],
    /// Each a convolution of single pixels, and one that halves the size.
    extra: [[ConvNorm; 2]; 2],
    /// From a level of the pyramid to the channels of the next larger one, smallest first.
    lateral: [Conv2d; 3],
    smooth: [Conv2d; 3],
    enhance: [EnhanceModule; 6],
    loc: [Head; 6],
    conf: [Head; 6],
    execution: Execution,
}

/// What the network answers for a batch, level by level: `(images, height, width, channels)`.
#[derive(Debug)]
pub struct Outputs {
    /// Offsets of the boxes in the first four channels.
    pub loc: [Tensor<4>; 6],
    /// Logits, of which [`logits`] uses four.
    pub conf: [Tensor<4>; 6],
}

/// The maps on the way, largest first.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Features {
    pub(crate) layers: [Tensor<4>; 6],
    pub(crate) pyramid: [Tensor<4>; 3],
    pub(crate) enhanced: [Tensor<4>; 6],
}

/// The logits of background and face from the four used ones of a prior, at a level of 0 to 5: the largest of three stands for the
/// background at the first level, and for the face at the others ("max-out").
pub fn logits(level: usize, [first, second, third, last]: [f32; 4]) -> [f32; 2] {
    let largest = first.max(second).max(third);
    if level == 0 { [largest, last] } else { [last, largest] }
}

/// The prior of an index, which ends at the edges of the picture as its centre does.
pub fn prior(priors: &Priors, index: usize) -> [f32; 4] {
    priors.at(index).map(|value| (value as f32).clamp(0.0, 1.0))
}

/// The weights take 481 MB. Those of Strassen's algorithm, and more transformed ones, would take 140 MB more and save 1 to 2 % of the time.
const BUDGET: Budget = Budget { kept: 128 * 64 * 9, strassen: [usize::MAX; 2], ..Budget::OF_LARGE_MAPS };

impl Dsfd {
    /// Under the names of the published checkpoint.
    pub fn load(loader: &Loader) -> Self {
        let loader = &loader.clone().with_budget(BUDGET);
        let depth = Depth::Layers152;
        let layer = |index: usize| loader.at(format!("layer{index}"));
        let stage = |index: usize| {
            // The stem is in the `Sequential` of the first stage, which is its layer 4.
            let inner = if index == 0 { 4 } else { 0 };
            Stage::load(&layer(index + 1).at(inner), depth, index)
        };
        let pair = |index, [inputs, middle, outputs]: [usize; 3]| {
            let conv = |first: usize, channels, side, stride| {
                let (conv, norm) = (layer(index).at(first), layer(index).at(first + 1));
                ConvNorm::named(&conv, &norm, channels, side, stride).with_bias(&conv)
            };
            [conv(0, [inputs, middle], 1, 1), conv(3, [middle, outputs], 3, 2)]
        };
        let [c1, c2, c3, c4] = depth.channels();
        let single = |name: &str, channels| {
            let loader = loader.at(name);
            Conv2d::load(&loader, channels, 1, 1).with_bias(&loader)
        };
        let enhance = |level: usize| EnhanceModule::load(&loader.at(ENHANCE[level].0), ENHANCE[level].1);
        let heads = |name: &str, outputs: [usize; 6]| {
            [0, 1, 2, 3, 4, 5].map(|level| Head::load(&loader.at(name).at(level), outputs[level]))
        };
        Self {
            stem: Stem::load(&layer(1).at(0), &layer(1).at(1)),
            stages: [0, 1, 2, 3].map(stage),
            extra: [pair(5, [c4, 512, 512]), pair(6, [512, 128, 256])],
            lateral: [single("latlayer3", [c4, c3]), single("latlayer2", [c3, c2]), single("latlayer1", [c2, c1])],
            smooth: [single("smooth3", [c3, c3]), single("smooth2", [c2, c2]), single("smooth1", [c1, c1])],
            enhance: [0, 1, 2, 3, 4, 5].map(enhance),
            loc: heads("loc", OFFSETS),
            conf: heads("conf", LOGITS),
            execution: loader.execution(),
        }
    }

    /// Pictures `(images, height, width, 3)`: channels minus their [means](MEANS), in reversed order.
    pub fn forward(&self, pictures: Tensor<4>) -> Outputs {
        let [c1, c2, c3, c4, c5, c6] = self.layers(pictures);
        // The maps of a level are freed before those of the next one are computed. The largest comes last, when all others are free.
        let level = |level: usize, maps: Tensor<4>| {
            let enhanced = self.enhance[level].forward(maps);
            let head = |heads: &[Head; 6], maps| self.execution.channels_innermost(heads[level].forward(maps));
            [head(&self.loc, enhanced.clone()), head(&self.conf, enhanced)]
        };
        let [l6, l5, l4] = [level(5, c6), level(4, c5), level(3, c4.clone())];
        let p3 = self.multiplied(0, c4, c3);
        let l3 = level(2, p3.clone());
        let p2 = self.multiplied(1, p3, c2);
        let l2 = level(1, p2.clone());
        let l1 = level(0, self.multiplied(2, p2, c1));
        let levels = [l1, l2, l3, l4, l5, l6];
        let [loc, conf] = [0, 1].map(|head| levels.each_ref().map(|level| level[head].clone()));
        Outputs { loc, conf }
    }

    /// The maps of the stages and of the layers after them, largest first.
    fn layers(&self, pictures: Tensor<4>) -> [Tensor<4>; 6] {
        let mut x = self.stem.forward(self.execution.arrange(pictures));
        let [c1, c2, c3, c4] = self.stages.each_ref().map(|stage| {
            let maps = stage.forward(x.clone());
            x = maps.clone();
            maps
        });
        let [c5, c6] = self.extra.each_ref().map(|pair| {
            x = pair.iter().fold(x.clone(), |x, conv| conv.forward_leaky(x, 0.0));
            x.clone()
        });
        [c1, c2, c3, c4, c5, c6]
    }

    /// A level of the pyramid, where 0 is the smallest of the three: `maps` of the layers times those of the smaller level. Other pyramids
    /// add them.
    fn multiplied(&self, level: usize, smaller: Tensor<4>, maps: Tensor<4>) -> Tensor<4> {
        let smaller = self.lateral[level].forward(smaller, None, &After::Nothing);
        let maps = self.smooth[level].forward(maps, None, &After::Nothing);
        self.execution.bilinear_multiply(smaller, maps)
    }

    #[cfg(test)]
    pub(crate) fn features(&self, pictures: Tensor<4>) -> Features {
        let layers = self.layers(pictures);
        let [c1, c2, c3, c4, c5, c6] = &layers;
        let p3 = self.multiplied(0, c4.clone(), c3.clone());
        let p2 = self.multiplied(1, p3.clone(), c2.clone());
        let pyramid = [self.multiplied(2, p2.clone(), c1.clone()), p2, p3];
        let [p1, p2, p3] = &pyramid;
        let inputs = [p1, p2, p3, c4, c5, c6];
        let enhanced = [0, 1, 2, 3, 4, 5].map(|level| self.enhance[level].forward(inputs[level].clone()));
        Features { layers, pyramid, enhanced }
    }
}

#[cfg(test)]
mod golden;
