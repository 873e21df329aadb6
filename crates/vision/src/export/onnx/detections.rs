use super::super::post_processing::PostProcessing;
use super::{File, fixed, info, int, ints, messages, named};

/// The number of detections of a picture.
const DETECTIONS: &str = "detections";

impl File<'_> {
    /// Adds what comes after the network, for one picture.
    pub(super) fn detections(&mut self, settings: &PostProcessing) {
        let [encodings, scores] = [0, 1].map(|answer| self.maps(self.graph.outputs()[answer]));
        let boxes = self.boxes(encodings, settings);
        let node = |file: &mut Self, op_type: &str, inputs: &[&String], output: &str| {
            let inputs: Vec<String> = inputs.iter().map(|input| (*input).clone()).collect();
            file.node(op_type, &inputs, output, Vec::new())
        };
        // The background comes first.
        let [first, last, axis] =
            [("first", 1), ("last", i64::MAX), ("axis", 2)].map(|(name, value)| self.wholes(name, &[1], &[value]));
        let of_classes = node(self, "Slice", &[&scores, &first, &last, &axis], "of_classes");
        let by_class = self.node("Transpose", &[of_classes], "by_class", vec![ints("perm", &[0, 2, 1])]);
        let per_class = self.wholes("per_class", &[1], &[settings.per_class as i64]);
        let overlap = self.floats("overlap", &[1], &[settings.iou_threshold]);
        let least = self.floats("least", &[1], &[settings.score_threshold]);
        // Rows of picture, class and box.
        let kept = node(self, "NonMaxSuppression", &[&boxes, &by_class, &per_class, &overlap, &least], "kept");
        let column = |file: &mut Self, name: &str, column: i64| {
            let index = file.wholes(&format!("{name}/column"), &[], &[column]);
            file.node("Gather", &[kept.clone(), index], name, vec![int("axis", 1)])
        };
        let (classes, places) = (column(self, "classes", 1), column(self, "places", 2));
        let of_kept = node(self, "GatherND", &[&by_class, &kept], "of_kept");
        let count = node(self, "Shape", &[&of_kept], "count");
        let most = self.wholes("most", &[1], &[settings.detections as i64]);
        let wanted = node(self, "Min", &[&count, &most], "wanted");
        let attributes = vec![int("axis", 0), int("largest", 1), int("sorted", 1)];
        self.node("TopK", &[of_kept, wanted], "detection_scores", attributes);
        if let Some(best) = self.proto.node.last_mut() {
            best.output.push("order".to_owned());
        }
        let order = "order".to_owned();
        node(self, "Gather", &[&classes, &order], "detection_classes");
        let ordered = node(self, "Gather", &[&places, &order], "ordered");
        let picture = self.wholes("picture", &[1], &[0]);
        let flat = node(self, "Squeeze", &[&boxes, &picture], "boxes_of_picture");
        let whole = node(self, "Gather", &[&flat, &ordered], "whole");
        let one = self.floats("one", &[], &[1.0]);
        node(self, "Clip", &[&whole, &super::ZERO.to_owned(), &one], "detection_boxes");
        self.proto.output = vec![
            info("detection_boxes", messages::FLOAT, vec![named(DETECTIONS), fixed(4)]),
            info("detection_classes", messages::INT64, vec![named(DETECTIONS)]),
            info("detection_scores", messages::FLOAT, vec![named(DETECTIONS)]),
        ];
    }

    /// Boxes of encodings: top, left, bottom and right.
    fn boxes(&mut self, encodings: String, settings: &PostProcessing) -> String {
        let anchors = &settings.anchors;
        let dims = [1, anchors.len(), 2];
        let pairs = |pair: &dyn Fn(&[f32; 4]) -> [f32; 2]| -> Vec<f32> { anchors.iter().flat_map(pair).collect() };
        let [y, x, height, width] = settings.scales;
        let steps = self.floats("anchors/steps", &dims, &pairs(&|anchor| [anchor[2] / y, anchor[3] / x]));
        let centres = self.floats("anchors/centres", &dims, &pairs(&|anchor| [anchor[0], anchor[1]]));
        let halves = self.floats("anchors/halves", &dims, &pairs(&|anchor| [anchor[2] / 2.0, anchor[3] / 2.0]));
        let growth = self.floats("growth", &[2], &[1.0 / height, 1.0 / width]);
        let parts = self.wholes("parts", &[2], &[2, 2]);
        self.node("Split", &[encodings, parts], "shifts", vec![int("axis", 2)]);
        if let Some(split) = self.proto.node.last_mut() {
            split.output.push("powers".to_owned());
        }
        let shifts = self.node("Mul", &["shifts".to_owned(), steps], "shifts/scaled", Vec::new());
        let centres = self.node("Add", &[shifts, centres], "centres", Vec::new());
        let powers = self.node("Mul", &["powers".to_owned(), growth], "powers/scaled", Vec::new());
        let factors = self.node("Exp", &[powers], "factors", Vec::new());
        let halves = self.node("Mul", &[factors, halves], "halves", Vec::new());
        let firsts = self.node("Sub", &[centres.clone(), halves.clone()], "firsts", Vec::new());
        let lasts = self.node("Add", &[centres, halves], "lasts", Vec::new());
        self.node("Concat", &[firsts, lasts], "boxes", vec![int("axis", 2)])
    }
}
