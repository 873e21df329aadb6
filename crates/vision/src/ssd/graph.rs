//! The network for other programs.

use std::cell::OnceCell;

use nn::checkpoint::CheckpointError;
use nn::layers::{Execution, Loader};
use nn::weights;

use super::anchors::AnchorGenerator;
use super::config::{Config, ScoreConverter};
use super::detector::Identity;
use super::extractor::grids;
use super::network::Network;
use super::tracing::Tracing;
use crate::export::{Graph, PostProcessing, Scores};

/// The name of the input: a picture `(1, height, width, 3)` with values of -1 to 1, red first. All names are those of TensorFlow's
/// exporter for mobile devices, `export_tflite_ssd_graph.py`.
const INPUT: &str = "normalized_input_image_tensor";
/// Those of the answers, and of logits that become scores.
const BOXES: &str = "raw_outputs/box_encodings";
const SCORES: &str = "raw_outputs/class_predictions";
const LOGITS: &str = "concat_1";

impl Identity {
    /// The network for one picture. It answers with the encodings of boxes `(1, anchors, 4)` and the scores `(1, anchors, 1 + classes)`,
    /// of which those of the background come first.
    ///
    /// # Errors
    /// [`CheckpointError`]: the checkpoint cannot be read.
    pub fn graph(&self) -> Result<Graph, CheckpointError> {
        let config = &self.config;
        let [height, width] = config.picture;
        // Layers without values, which know their names.
        let described = OnceCell::new();
        weights::list(|weights| described.set(Network::load(&Loader::new(weights, Execution::Burn), config)));
        let network = described.into_inner().expect("the network has been described");
        let mut tracing = Tracing::new(self.layers(), Graph::new(INPUT, [1, height, width, 3]));
        let input = tracing.graph.input();
        let scores = match config.post_processing.converter {
            ScoreConverter::Sigmoid => Some(Scores::Logistic),
            ScoreConverter::Softmax => Some(Scores::Softmax),
            ScoreConverter::Identity => None,
        };
        let names = [BOXES, if scores.is_some() { LOGITS } else { SCORES }];
        let [boxes, logits] = network.trace(&mut tracing, input, config.classes, names)?;
        let mut graph = tracing.graph;
        let scores = scores.map_or(logits, |scores| graph.scores(SCORES.to_owned(), logits, scores));
        graph.answer(boxes);
        graph.answer(scores);
        Ok(graph)
    }
}

impl Config {
    /// How detections are made of the network's answers. `detections`: the most of them.
    pub fn post_processing_of(&self, detections: usize, by_class: bool) -> PostProcessing {
        let generator: &AnchorGenerator = &self.anchors;
        let anchors = generator.generate(&grids(self.picture), self.picture);
        let centred = |[top, left, bottom, right]: [f32; 4]| {
            [(top + bottom) / 2.0, (left + right) / 2.0, bottom - top, right - left]
        };
        PostProcessing {
            anchors: anchors.into_iter().map(centred).collect(),
            scales: self.box_scales,
            classes: self.classes,
            detections,
            per_class: self.post_processing.per_class,
            score_threshold: self.post_processing.score_threshold,
            iou_threshold: self.post_processing.iou_threshold,
            by_class,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use nn::{Device, made_up};

    use super::super::{Detector, Input, identify, tensors};
    use super::*;
    use crate::export::{Operation, run};
    use crate::golden;

    /// The greatest difference of sums in another order.
    const DIFFERENCE: f32 = 1e-4;

    /// Made-up weights that keep the magnitude of values.
    fn spread(name: &str, shape: &[usize]) -> (f64, f64) {
        if name.ends_with("moving_variance") || name.ends_with("gamma") {
            return (0.3, 1.0);
        }
        let inputs: usize = shape.iter().rev().skip(1).product();
        let is_depthwise = name.ends_with("depthwise_weights");
        if shape.len() == 4 { (2.0 / (if is_depthwise { 9 } else { inputs } as f64).sqrt(), 0.0) } else { (0.2, 0.1) }
    }

    #[test]
    fn a_graph_computes_what_the_network_computes() {
        let text = String::from_utf8(golden::bytes("ssd/small/pipeline.config")).unwrap();
        for (backbone, converter) in
            [("ssd_mobilenet_v2", "SIGMOID"), ("ssd_mobilenet_v1", "SOFTMAX"), ("ssd_mobilenet_v1", "IDENTITY")]
        {
            let text = text.replace("ssd_mobilenet_v2", backbone).replace("SIGMOID", converter);
            let config = Config::parse(&text).unwrap();
            let weights = made_up("made up", tensors(&config), spread);
            let identity = identify(&weights, config.clone()).unwrap();
            let detector = Detector::load(&identity, Device::Cpu).unwrap();
            let input = Input::of(&golden::picture("ssd/a.png"), 96, config.picture);
            let [boxes, logits] = detector.outputs(&[&input]).unwrap();

            let graph = identity.graph().unwrap();
            let names: Vec<&str> = graph.outputs().iter().map(|output| &*graph.value(*output).name).collect();
            assert_eq!(names, [BOXES, SCORES]);
            let mut values = BTreeMap::new();
            run(&graph, input.values(), |value, numbers| {
                values.insert(value, numbers.to_vec());
            });
            let of_scores = match graph.operations().last() {
                Some(Operation::Scores { input, .. }) => *input,
                _ => graph.outputs()[1],
            };
            for (name, value, expected) in [("boxes", graph.outputs()[0], boxes), ("logits", of_scores, logits)] {
                let found = &values[&value];
                assert_eq!(found.len(), expected.len(), "{backbone}: {name}");
                let greatest = expected.iter().fold(0_f32, |greatest, value| greatest.max(value.abs()));
                assert!(greatest > 0.1, "{backbone}: {name} are all about 0");
                let difference = |(found, expected): (&f32, &f32)| (found - expected).abs();
                let most = found.iter().zip(&expected).map(difference).fold(0_f32, f32::max);
                assert!(most <= DIFFERENCE * greatest.max(1.0), "{backbone}: {name} differ by {most} of {greatest}");
            }
        }
    }
}
