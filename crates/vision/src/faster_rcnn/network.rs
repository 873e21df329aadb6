//! The layers, under Detectron2's names.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use nn::layers::{After, Conv2d, Execution, Linear, Loader};

use super::config::{Form, LEVELS};
use super::roi_align::CELLS;
use crate::backbone::{Stage, Stem, Style};

/// `ReLU`.
const RELU: After = After::LeakyReLU(0.0);
/// The stages of the ResNet whose maps the pyramid begins with.
const STAGES: [&str; 4] = ["res2", "res3", "res4", "res5"];

/// The network.
#[derive(Debug)]
pub(crate) struct Network {
    stem: Stem,
    stages: [Stage; 4],
    lateral: [Conv2d; 4],
    output: [Conv2d; 4],
    conv: Conv2d,
    objectness_logits: Conv2d,
    anchor_deltas: Conv2d,
    hidden: Vec<Linear>,
    cls_score: Linear,
    bbox_pred: Linear,
    execution: Execution,
}

/// What the head over anchors answers for a level: values of each anchor innermost.
#[derive(Debug)]
pub(crate) struct Anchored {
    /// `(images, anchors)`: logits of an object.
    pub(crate) logits: Tensor<2>,
    /// `(images, anchors, 4)`: offsets of the box.
    pub(crate) offsets: Tensor<3>,
}

impl Network {
    pub(crate) fn load(loader: &Loader, form: &Form) -> Self {
        let Form { depth, stride_in_1x1, channels, shapes, ref hidden, classes } = *form;
        let backbone = loader.at("backbone");
        let bottom_up = backbone.at("bottom_up");
        let style = Style::Detectron2 { stride_in_1x1 };
        let conv = bottom_up.at("stem").at("conv1");
        let head = loader.at("proposal_generator").at("rpn_head");
        let with_bias = |loader: &Loader, channels, side| Conv2d::load(loader, channels, side, 1).with_bias(loader);
        let lateral = |index: usize| {
            let loader = backbone.at(format!("fpn_lateral{}", index + 2));
            with_bias(&loader, [depth.channels()[index], channels], 1)
        };
        let output = |index: usize| with_bias(&backbone.at(format!("fpn_output{}", index + 2)), [channels; 2], 3);
        let heads = loader.at("roi_heads");
        let (box_head, predictor) = (heads.at("box_head"), heads.at("box_predictor"));
        let mut inputs = channels * CELLS;
        let fully_connected = |(index, outputs): (usize, &usize)| {
            let layer = Linear::load(&box_head.at(format!("fc{}", index + 1)), [inputs, *outputs]);
            inputs = *outputs;
            layer
        };
        let hidden: Vec<Linear> = hidden.iter().enumerate().map(fully_connected).collect();
        Self {
            stem: Stem::load(&conv, &conv.at("norm")),
            stages: [0, 1, 2, 3].map(|index| Stage::styled(&bottom_up.at(STAGES[index]), depth, index, style)),
            lateral: [0, 1, 2, 3].map(lateral),
            output: [0, 1, 2, 3].map(output),
            conv: with_bias(&head.at("conv"), [channels; 2], 3),
            objectness_logits: with_bias(&head.at("objectness_logits"), [channels, shapes], 1),
            anchor_deltas: with_bias(&head.at("anchor_deltas"), [channels, 4 * shapes], 1),
            hidden,
            cls_score: Linear::load(&predictor.at("cls_score"), [inputs, classes + 1]),
            bbox_pred: Linear::load(&predictor.at("bbox_pred"), [inputs, 4 * classes]),
            execution: loader.execution(),
        }
    }

    /// The maps after the stem and after each stage. Pictures are `(images, height, width, 3)`, as the configuration asks for. Both
    /// sides are multiples of 32.
    pub(crate) fn bottom_up(&self, pictures: Tensor<4>) -> [Tensor<4>; 5] {
        let mut x = self.stem.forward(self.execution.arrange(pictures));
        let stem = x.clone();
        let [first, second, third, last] = self.stages.each_ref().map(|stage| {
            x = stage.forward(x.clone());
            x.clone()
        });
        [stem, first, second, third, last]
    }

    /// The levels of the pyramid, from the maps of [`bottom_up`](Self::bottom_up). Each is let go of as soon as possible.
    pub(crate) fn pyramid(&self, [stem, first, second, third, last]: [Tensor<4>; 5]) -> [Tensor<4>; LEVELS] {
        drop(stem);
        let execution = self.execution;
        let lateral = |level: usize, maps: Tensor<4>| self.lateral[level].forward(maps, None, &After::Nothing);
        let output = |level: usize, x: Tensor<4>| self.output[level].forward(x, None, &After::Nothing);
        let fifth = lateral(3, last);
        let fourth = execution.nearest_add(fifth.clone(), lateral(2, third));
        let smallest = output(3, fifth);
        let third = execution.nearest_add(fourth.clone(), lateral(1, second));
        let fourth = output(2, fourth);
        let second = execution.nearest_add(third.clone(), lateral(0, first));
        let third = output(1, third);
        // A pooling of single pixels takes every second one.
        let half = execution.max_pool(smallest.clone(), 1, 2);
        [output(0, second), third, fourth, smallest, half]
    }

    /// For the anchors of a level.
    pub(crate) fn anchored(&self, maps: Tensor<4>) -> Anchored {
        let x = self.conv.forward(maps, None, &RELU);
        let of_cells =
            |conv: &Conv2d| self.execution.channels_innermost(conv.forward(x.clone(), None, &After::Nothing));
        let (logits, offsets) = (of_cells(&self.objectness_logits), of_cells(&self.anchor_deltas));
        let [images, height, width, shapes] = logits.dims();
        let anchors = height * width * shapes;
        Anchored { logits: logits.reshape([images, anchors]), offsets: offsets.reshape([images, anchors, 4]) }
    }

    /// Aligned regions, `(regions, channels * 49)`, after the hidden layers.
    pub(crate) fn hidden(&self, regions: Tensor<2>) -> Tensor<2> {
        self.hidden.iter().fold(regions, |x, layer| relu(layer.forward(x)))
    }

    /// Logits of each class and of the background, `(regions, classes + 1)`, and offsets for each class, `(regions, 4 * classes)`.
    pub(crate) fn classified(&self, hidden: Tensor<2>) -> [Tensor<2>; 2] {
        [self.cls_score.forward(hidden.clone()), self.bbox_pred.forward(hidden)]
    }

    /// Maps of this network as `(images, height, width, channels)`.
    pub(crate) fn channels_innermost(&self, maps: Tensor<4>) -> Tensor<4> {
        self.execution.channels_innermost(maps)
    }
}
