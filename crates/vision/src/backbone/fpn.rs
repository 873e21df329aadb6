//! A feature pyramid (Lin et al. 2017, arXiv 1612.03144) of three levels, as RetinaFace has it.

use burn::tensor::Tensor;
use nn::layers::{Execution, Loader};

use super::conv_norm::ConvNorm;

/// Maps of three sizes, each with the features of the smaller ones added.
#[derive(Debug)]
pub struct Fpn {
    outputs: [ConvNorm; 3],
    merges: [ConvNorm; 2],
    slope: f32,
    execution: Execution,
}

impl Fpn {
    /// From maps of `inputs`, largest first, to `channels` each. `slope` is that of its activations below zero.
    pub fn load(loader: &Loader, inputs: [usize; 3], channels: usize, slope: f32) -> Self {
        let output =
            |level: usize| ConvNorm::load(&loader.at(format!("output{}", level + 1)), [inputs[level], channels], 1, 1);
        let merge = |level| ConvNorm::load(&loader.at(format!("merge{level}")), [channels; 2], 3, 1);
        let execution = loader.execution();
        Self { outputs: [0, 1, 2].map(output), merges: [1, 2].map(merge), slope, execution }
    }

    /// The largest maps are first.
    pub fn forward(&self, maps: [Tensor<4>; 3]) -> [Tensor<4>; 3] {
        let [large, middle, small] = maps;
        let [output1, output2, output3] = &self.outputs;
        let [merge1, merge2] = &self.merges;
        let small = output3.forward_leaky(small, self.slope);
        let join = |output: &ConvNorm, merge: &ConvNorm, maps: Tensor<4>, smaller: &Tensor<4>| {
            let maps = output.forward_leaky(maps, self.slope);
            merge.forward_leaky(self.execution.nearest_add(smaller.clone(), maps), self.slope)
        };
        let middle = join(output2, merge2, middle, &small);
        let large = join(output1, merge1, large, &middle);
        [large, middle, small]
    }
}
