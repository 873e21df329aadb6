//! DSFD, *Dual Shot Face Detector* (Li et al. 2019, arXiv 1810.10220), as in `hukkelas/DSFD-Pytorch-Inference`: the second shot,
//! on ResNet-152.

mod enhance;
mod head;
mod strip;

use std::ops::Range;

use burn::tensor::Tensor;
use nn::kernels::RowSpan;
use nn::layers::{After, Budget, Conv2d, Execution, Loader};

use crate::backbone::{ConvNorm, Depth, Stage, Stem};
use crate::boxes::{Level, Priors};
use enhance::EnhanceModule;
use head::Head;
use strip::{Part, StripSize, widened, within};

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
/// The strips of large maps on the CPU. Larger ones take more memory. Smaller ones take more time for the rows that they share.
const STRIP: StripSize = StripSize { pixels: 14 << 10, rows: 48 };
const WHOLE: StripSize = StripSize { pixels: usize::MAX, rows: 1 };
/// How many rows above and below a row of the first stage its maps depend on: each of the three blocks has a 3x3 convolution.
const FIRST_STAGE_REACH: usize = 3;
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
        let strips = match self.execution {
            Execution::Burn => WHOLE,
            Execution::Kernels => STRIP,
        };
        self.forward_in_strips(pictures, strips)
    }

    /// The same in strips of this size.
    fn forward_in_strips(&self, pictures: Tensor<4>, strips: StripSize) -> Outputs {
        let stem = self.whole(self.stem.forward(self.execution.arrange(pictures)));
        let [c2, c3, c4, c5, c6] = self.later_layers(self.second_stage(&stem, strips));
        // The maps of a level are freed before those of the next one are computed. The largest comes last, when all others are free.
        let level = |level: usize, maps: Tensor<4>| {
            let maps = self.whole(maps);
            self.answers(level, maps.size(), strips, |rows| maps.around(rows, 0))
        };
        let [l6, l5, l4] = [(5, c6), (4, c5), (3, c4.clone())].map(|(index, maps)| level(index, maps));
        let p3 = self.multiplied(0, self.laterally(0, c4), self.whole(c3)).maps;
        let l3 = level(2, p3.clone());
        let p2 = self.multiplied(1, self.laterally(1, p3), self.whole(c2)).maps;
        let l2 = level(1, p2.clone());
        // The maps of the first stage are computed again: that takes little time, and until now they would have taken most of the memory.
        let smaller = self.laterally(2, p2);
        let l1 = self
            .answers(0, stem.size(), strips, |rows| self.multiplied(2, smaller.clone(), self.first_stage(&stem, rows)));
        let levels = [l1, l2, l3, l4, l5, l6];
        let [loc, conf] = [0, 1].map(|head| levels.each_ref().map(|level| level[head].clone()));
        Outputs { loc, conf }
    }

    /// Offsets and logits of a level of this height and width, strip by strip. `maps` computes any rows of the level's maps.
    fn answers(
        &self,
        level: usize,
        size: [usize; 2],
        strips: StripSize,
        maps: impl Fn(&Range<usize>) -> Part,
    ) -> [Tensor<4>; 2] {
        let strips = strips.of(size).map(|strip| {
            let enhanced = widened(&strip, head::REACH, size[0]);
            let inputs = widened(&enhanced, enhance::REACH, size[0]);
            let part = self.enhance[level].forward(maps(&inputs), &enhanced);
            let answers =
                |heads: &[Head; 6], part| self.execution.channels_innermost(heads[level].forward(part, &strip));
            [answers(&self.loc, part.clone()), answers(&self.conf, part)]
        });
        let (loc, conf) = strips.map(|[loc, conf]| (loc, conf)).unzip();
        [Tensor::cat(loc, 1), Tensor::cat(conf, 1)]
    }

    fn whole(&self, maps: Tensor<4>) -> Part {
        Part::whole(maps, self.execution)
    }

    /// Some rows of the maps of the first stage, from all rows of the stem.
    fn first_stage(&self, stem: &Part, rows: &Range<usize>) -> Part {
        stem.around(rows, FIRST_STAGE_REACH).map(|maps| self.stages[0].forward(maps)).around(rows, 0)
    }

    /// The maps of the second stage, of which the first block is computed in strips, as the first stage is.
    fn second_stage(&self, stem: &Part, strips: StripSize) -> Tensor<4> {
        let [height, width] = stem.size();
        let strips = strips.of([height.div_ceil(2), 2 * width]).map(|strip| {
            // The block halves the size. A row of its maps depends on two rows of the maps before, and on the row above them.
            let middle = widened(&strip, 1, strip.end);
            let inputs = 2 * middle.start..(2 * middle.end).min(height);
            let maps = self.stages[1].first_block(self.first_stage(stem, &inputs).maps);
            self.execution.rows(maps, within(&strip, &middle))
        });
        self.stages[1].later_blocks(self.execution.stacked(strips, height.div_ceil(2)))
    }

    /// The maps of the second stage and of the layers after it, largest first.
    fn later_layers(&self, c2: Tensor<4>) -> [Tensor<4>; 5] {
        let [_, _, third, last] = &self.stages;
        let c3 = third.forward(c2.clone());
        let c4 = last.forward(c3.clone());
        let extra = |pair: &[ConvNorm; 2], x| pair.iter().fold(x, |x, conv| conv.forward_leaky(x, 0.0));
        let c5 = extra(&self.extra[0], c4.clone());
        let c6 = extra(&self.extra[1], c5.clone());
        [c2, c3, c4, c5, c6]
    }

    /// Some rows of a level of the pyramid, where 0 is the smallest of the three: those of the layers times the smaller level, whose maps come
    /// [`laterally`](Self::laterally). Other pyramids add them.
    fn multiplied(&self, level: usize, smaller: Tensor<4>, part: Part) -> Part {
        let span = RowSpan { first: part.rows.start, height: part.height };
        part.map(|maps| {
            let maps = self.smooth[level].forward(maps, None, &After::Nothing);
            self.execution.bilinear_multiply(smaller, maps, span)
        })
    }

    /// The maps of a smaller level with the channels of the next larger one, which is level `level` of the three.
    fn laterally(&self, level: usize, smaller: Tensor<4>) -> Tensor<4> {
        self.lateral[level].forward(smaller, None, &After::Nothing)
    }

    #[cfg(test)]
    pub(crate) fn features(&self, pictures: Tensor<4>) -> Features {
        let c1 = self.stages[0].forward(self.stem.forward(self.execution.arrange(pictures)));
        let [c2, c3, c4, c5, c6] = self.later_layers(self.stages[1].forward(c1.clone()));
        let layers = [c1, c2, c3, c4, c5, c6];
        let [c1, c2, c3, c4, c5, c6] = &layers;
        let multiplied = |level: usize, smaller: &Tensor<4>, maps: &Tensor<4>| {
            self.multiplied(level, self.laterally(level, smaller.clone()), self.whole(maps.clone())).maps
        };
        let p3 = multiplied(0, c4, c3);
        let p2 = multiplied(1, &p3, c2);
        let pyramid = [multiplied(2, &p2, c1), p2, p3];
        let [p1, p2, p3] = &pyramid;
        let enhanced = [(0, p1), (1, p2), (2, p3), (3, c4), (4, c5), (5, c6)].map(|(level, maps)| {
            let part = self.whole(maps.clone());
            let rows = part.rows.clone();
            self.enhance[level].forward(part, &rows).maps
        });
        Features { layers, pyramid, enhanced }
    }
}

#[cfg(test)]
mod golden;
