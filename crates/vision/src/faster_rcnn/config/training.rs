//! What training needs of a configuration.

use super::document::Document;
use super::error::ConfigError;
use super::{Reader, Selection, fixed};

/// Keys whose value is the same in all trainings here, and the values that work.
const FIXED: [(&str, &[&str]); 21] = [
    ("DATALOADER.SAMPLER_TRAIN", &["'TrainingSampler'"]),
    ("INPUT.MIN_SIZE_TRAIN_SAMPLING", &["'choice'"]),
    ("MODEL.RPN.BOUNDARY_THRESH", &["-1"]),
    ("MODEL.RPN.IOU_LABELS", &["[0, -1, 1]"]),
    ("MODEL.RPN.BBOX_REG_LOSS_TYPE", &["'smooth_l1'"]),
    ("MODEL.RPN.BBOX_REG_LOSS_WEIGHT", &["1.0", "1"]),
    ("MODEL.RPN.SMOOTH_L1_BETA", &["0.0", "0"]),
    ("MODEL.RPN.LOSS_WEIGHT", &["1.0", "1"]),
    ("MODEL.ROI_HEADS.IOU_LABELS", &["[0, 1]"]),
    ("MODEL.ROI_HEADS.PROPOSAL_APPEND_GT", &["True"]),
    ("MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", &["'smooth_l1'"]),
    ("MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT", &["1.0", "1"]),
    ("MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA", &["0.0", "0"]),
    ("MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", &["False"]),
    ("MODEL.ROI_BOX_HEAD.USE_FED_LOSS", &["False"]),
    ("SOLVER.LR_SCHEDULER_NAME", &["'WarmupMultiStepLR'"]),
    ("SOLVER.WARMUP_METHOD", &["'linear'"]),
    ("SOLVER.NESTEROV", &["False"]),
    ("SOLVER.BIAS_LR_FACTOR", &["1.0", "1"]),
    ("SOLVER.AMP.ENABLED", &["False"]),
    ("TEST.PRECISE_BN.ENABLED", &["False"]),
];

/// Which boxes stand for objects, and how many are trained with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampled {
    /// Below the first overlap a box is background, from the second one on an object.
    pub overlaps: [f32; 2],
    /// The boxes of a picture.
    pub count: usize,
    /// The share of those that are objects at most.
    pub share: f64,
}

/// What a step of training needs beside the network's configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingConfig {
    /// How regions are chosen.
    pub selection: Selection,
    /// Anchors.
    pub anchors: Sampled,
    /// Regions.
    pub regions: Sampled,
}

impl TrainingConfig {
    /// Of a whole configuration.
    ///
    /// # Errors
    /// [`ConfigError::Value`]: a value that is none of its key's, or that is not supported.
    pub fn of(document: &Document) -> Result<Self, ConfigError> {
        fixed(document, &FIXED)?;
        let read = Reader(document);
        let sampled = |section: &str, overlaps: [f64; 2]| {
            Ok::<_, ConfigError>(Sampled {
                overlaps: overlaps.map(|overlap| overlap as f32),
                count: read.whole(&format!("{section}.BATCH_SIZE_PER_IMAGE"), 1..=1 << 16)?,
                share: read.share(&format!("{section}.POSITIVE_FRACTION"))?,
            })
        };
        let [overlap] = read.numbers::<1>("MODEL.ROI_HEADS.IOU_THRESHOLDS")?;
        Ok(Self {
            selection: read.selection("TRAIN")?,
            anchors: sampled("MODEL.RPN", read.numbers::<2>("MODEL.RPN.IOU_THRESHOLDS")?)?,
            regions: sampled("MODEL.ROI_HEADS", [overlap; 2])?,
        })
    }
}
