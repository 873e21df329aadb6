//! The losses of a batch: `losses.py` and `ssd_meta_arch.py` of the Object Detection API.

use burn::tensor::activation::{log_softmax, sigmoid};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::mining::{HardBy, Miner};
use super::targets::Targets;

/// Values of a box.
const CODE: usize = 4;

/// The loss of classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClassLoss {
    /// A cross-entropy for each class and the background.
    Sigmoid,
    /// The same, less for what is right already (Lin et al. 2017, arXiv 1708.02002).
    Focal {
        /// The weight of what is there; that of what is not is the rest to 1.
        alpha: f32,
        /// The exponent.
        gamma: f32,
    },
    /// One cross-entropy over all classes and the background.
    Softmax,
}

/// The loss of boxes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoxLoss {
    /// Half of the square up to this difference, then linear (Huber 1964).
    SmoothL1 {
        /// Where it becomes linear.
        delta: f32,
    },
    /// Half of the square.
    L2,
}

/// How losses of anchors become those of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossSettings {
    /// That of classes.
    pub class: ClassLoss,
    /// That of boxes.
    pub boxes: BoxLoss,
    /// What the loss of classes is multiplied with.
    pub class_weight: f32,
    /// What the loss of boxes is multiplied with.
    pub box_weight: f32,
    /// Which anchors count; `None`: all.
    pub miner: Option<Miner>,
    /// Whether losses are divided by the weights of all anchors that have objects.
    pub by_matches: bool,
    /// Whether the loss of boxes is divided by the values of a box too.
    pub by_code: bool,
}

/// The losses of a batch, `(1)` each.
#[derive(Debug)]
pub(crate) struct BatchLosses {
    pub(crate) boxes: Tensor<1>,
    pub(crate) classes: Tensor<1>,
}

/// The losses of each anchor, `(images, anchors)`.
#[derive(Debug)]
pub(crate) struct AnchorLosses {
    pub(crate) boxes: Tensor<2>,
    pub(crate) classes: Tensor<2>,
}

impl LossSettings {
    /// The losses of each anchor. `boxes` are encodings `(images, anchors, 4)`, `logits` `(images, anchors, 1 + classes)`.
    pub(crate) fn of_anchors(
        &self,
        boxes: Tensor<3>,
        logits: Tensor<3>,
        targets: &[Targets],
        device: &Device,
    ) -> AnchorLosses {
        let [images, anchors, columns] = logits.dims();
        let tensor = |values: Vec<f32>, last: usize| {
            Tensor::<3>::from_data(TensorData::new(values, [images, anchors, last]), (device, DType::F32))
        };
        let flat = |of: fn(&Targets) -> Vec<f32>, last: usize| tensor(targets.iter().flat_map(of).collect(), last);
        let wanted = flat(|targets| targets.boxes.as_flattened().to_vec(), CODE);
        let box_weights = flat(|targets| targets.box_weights.clone(), 1);
        let class_weights = flat(|targets| targets.class_weights.clone(), 1);
        let mut classes = vec![0.0; images * anchors * columns];
        for (index, class) in targets.iter().flat_map(|targets| &targets.classes).enumerate() {
            classes[index * columns + class] = 1.0;
        }
        let classes = tensor(classes, columns);

        let difference = (boxes - wanted).abs();
        let of_boxes = match self.boxes {
            BoxLoss::SmoothL1 { delta } => {
                let below = difference.clone().clamp_max(delta);
                below.clone().square() * 0.5 + (difference - below) * delta
            }
            BoxLoss::L2 => difference.square() * 0.5,
        };
        // TensorFlow weighs the difference before it squares it, so the weight counts twice.
        let of_boxes = if self.boxes == BoxLoss::L2 { of_boxes * box_weights.clone() } else { of_boxes };
        let of_classes = match self.class {
            ClassLoss::Sigmoid => cross_entropy(logits, classes),
            ClassLoss::Focal { alpha, gamma } => {
                let probability = sigmoid(logits.clone());
                let absent = -classes.clone() + 1.0;
                let right = classes.clone() * probability.clone() + absent.clone() * (-probability + 1.0);
                let wrong = (-right + 1.0).powf_scalar(gamma);
                let share = classes.clone() * alpha + absent * (1.0 - alpha);
                cross_entropy(logits, classes) * wrong * share
            }
            ClassLoss::Softmax => -(log_softmax(logits, 2) * classes),
        };
        let summed = |losses: Tensor<3>, weights: Tensor<3>| (losses * weights).sum_dim(2).reshape([images, anchors]);
        AnchorLosses { boxes: summed(of_boxes, box_weights), classes: summed(of_classes, class_weights) }
    }

    /// The losses of a batch. `now` are the boxes that the network says now, image by image.
    pub(crate) fn of_batch(
        &self,
        losses: AnchorLosses,
        targets: &[Targets],
        now: &[Vec<[f32; 4]>],
        device: &Device,
    ) -> BatchLosses {
        let AnchorLosses { boxes, classes } = losses;
        let [images, anchors] = boxes.dims();
        let (boxes, classes) = match &self.miner {
            None => (boxes, classes),
            Some(miner) => {
                let counts = self.counts(miner, &boxes, &classes, targets, now);
                let counts = TensorData::new(counts, [images, anchors]);
                let counts = Tensor::<2>::from_data(counts, (device, DType::F32));
                (boxes * counts.clone(), classes * counts)
            }
        };
        let matched: f32 = targets.iter().flat_map(|targets| &targets.box_weights).sum();
        let divisor = if self.by_matches { matched.max(1.0) } else { 1.0 };
        let of_box = if self.by_code { divisor * CODE as f32 } else { divisor };
        BatchLosses {
            boxes: boxes.sum() * (self.box_weight / of_box),
            classes: classes.sum() * (self.class_weight / divisor),
        }
    }

    /// 1 for the anchors that count, 0 for the others.
    fn counts(
        &self,
        miner: &Miner,
        boxes: &Tensor<2>,
        classes: &Tensor<2>,
        targets: &[Targets],
        now: &[Vec<[f32; 4]>],
    ) -> Vec<f32> {
        let [_, anchors] = boxes.dims();
        let values = |losses: &Tensor<2>| -> Vec<f32> {
            losses.clone().inner().into_data().try_into_vec_as().expect("losses are float32")
        };
        let hardness: Vec<f32> = match miner.by {
            HardBy::Classification => values(classes),
            HardBy::Localization => values(boxes),
            HardBy::Both => {
                let weighted = |(of_box, of_class): (f32, f32)| of_box * self.box_weight + of_class * self.class_weight;
                values(boxes).into_iter().zip(values(classes)).map(weighted).collect()
            }
        };
        let mut counts = vec![0.0; hardness.len()];
        for (image, (hardness, targets)) in hardness.chunks_exact(anchors).zip(targets).enumerate() {
            for index in miner.select(&now[image], hardness, &targets.matches) {
                counts[image * anchors + index] = 1.0;
            }
        }
        counts
    }
}

/// Of logits with sigmoids, in a form that does not overflow.
fn cross_entropy(logits: Tensor<3>, targets: Tensor<3>) -> Tensor<3> {
    logits.clone().clamp_min(0.0) - logits.clone() * targets + (-logits.abs()).exp().log1p()
}
