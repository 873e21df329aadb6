//! The schedule, the optimizer and the pictures of a training.

use super::document::Document;
use super::error::ConfigError;
use super::value::Value;
use super::{MOST_PIXELS, Reader};

/// How gradients are cut before they are applied, each tensor's by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clipping {
    /// Each value to this size.
    Value(f64),
    /// The L2 norm to this size.
    Norm(f64),
}

/// What a training does beside the steps themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Solver {
    /// Its steps.
    pub steps: usize,
    /// The pictures of a step.
    pub batch: usize,
    /// The learning rate after the warm-up.
    pub rate: f64,
    /// The steps from which on the rate is lower, in their order, and the factor each time.
    pub drops: Vec<usize>,
    /// The factor.
    pub gamma: f64,
    /// The steps of the warm-up, and the share of the rate that it begins with.
    pub warmup: (usize, f64),
    /// The momentum.
    pub momentum: f64,
    /// The decay of weights, of those of normalizations, and of biases.
    pub decays: [f64; 3],
    /// How gradients are cut.
    pub clipping: Option<Clipping>,
    /// The stages that do not change: 0 is none, 1 the stem, 2 the first stage too, and so on.
    pub frozen_stages: usize,
    /// Whether normalizations train, and use the statistics of batches.
    pub trains_norms: bool,
    /// Shorter sides, one of which is chosen for each picture, in pixels.
    pub shorts: Vec<usize>,
    /// The longer side at most, in pixels.
    pub longest: usize,
    /// Whether half of the pictures are flipped, left to right.
    pub flips: bool,
    /// Whether a batch has upright pictures or others, but not both.
    pub groups_by_shape: bool,
    /// The steps from evaluation to evaluation. 0: there is one at the end.
    pub evaluate_every: usize,
    /// The steps from checkpoint to checkpoint.
    pub save_every: usize,
    /// What is random follows from it.
    pub seed: u64,
}

impl Solver {
    /// Of a whole configuration.
    ///
    /// # Errors
    /// [`ConfigError::Value`]: a value that is none of its key's, or that is not supported.
    pub fn of(document: &Document) -> Result<Self, ConfigError> {
        let read = Reader(document);
        let any = 0..=1 << 40;
        let number = |path| read.number(path, 0.0..=1e6);
        let decay = number("SOLVER.WEIGHT_DECAY")?;
        let of_biases = match document.get("SOLVER.WEIGHT_DECAY_BIAS") {
            Value::Nothing => decay,
            _ => number("SOLVER.WEIGHT_DECAY_BIAS")?,
        };
        let seed = match document.get("SEED") {
            Value::Whole(seed) => *seed as u64,
            _ => return Err(read.unusable("SEED", "a whole number")),
        };
        let clipping = if read.flag("SOLVER.CLIP_GRADIENTS.ENABLED")? {
            let most = number("SOLVER.CLIP_GRADIENTS.CLIP_VALUE")?;
            let kind = read.word("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", &["value", "norm"])?;
            if read.number("SOLVER.CLIP_GRADIENTS.NORM_TYPE", 0.0..=100.0)? != 2.0 {
                return Err(read.unusable("SOLVER.CLIP_GRADIENTS.NORM_TYPE", "2.0"));
            }
            Some(if kind == "value" { Clipping::Value(most) } else { Clipping::Norm(most) })
        } else {
            None
        };
        let steps = read.whole("SOLVER.MAX_ITER", 1..=1 << 40)?;
        Ok(Self {
            steps,
            batch: read.whole("SOLVER.IMS_PER_BATCH", 1..=1024)?,
            rate: number("SOLVER.BASE_LR")?,
            drops: read.wholes("SOLVER.STEPS", any.clone())?.into_iter().filter(|drop| *drop <= steps).collect(),
            gamma: number("SOLVER.GAMMA")?,
            warmup: (read.whole("SOLVER.WARMUP_ITERS", any.clone())?, number("SOLVER.WARMUP_FACTOR")?),
            momentum: read.share("SOLVER.MOMENTUM")?,
            decays: [decay, number("SOLVER.WEIGHT_DECAY_NORM")?, of_biases],
            clipping,
            frozen_stages: read.whole("MODEL.BACKBONE.FREEZE_AT", 0..=5)?,
            trains_norms: read.word("MODEL.RESNETS.NORM", &["FrozenBN", "BN"])? == "BN",
            shorts: read.wholes("INPUT.MIN_SIZE_TRAIN", 1..=MOST_PIXELS)?,
            longest: read.whole("INPUT.MAX_SIZE_TRAIN", 1..=MOST_PIXELS)?,
            flips: read.word("INPUT.RANDOM_FLIP", &["horizontal", "none"])? == "horizontal",
            groups_by_shape: read.flag("DATALOADER.ASPECT_RATIO_GROUPING")?,
            evaluate_every: read.whole("TEST.EVAL_PERIOD", any.clone())?,
            save_every: read.whole("SOLVER.CHECKPOINT_PERIOD", any)?,
            seed,
        })
    }

    /// The learning rate of a step, from 0: a line from a share of the rate, and lower from some steps on.
    pub fn rate_of(&self, step: usize) -> f64 {
        let dropped = |step: f64| {
            let drops = self.drops.iter().filter(|drop| **drop as f64 <= step).count();
            self.rate * self.gamma.powi(drops as i32)
        };
        let (warmup, factor) = self.warmup;
        let warmup = warmup.min(self.steps) as f64;
        let step = step as f64;
        if step < warmup {
            let (start, end) = (self.rate * factor, dropped(warmup));
            start + (end - start) * (step / warmup)
        } else {
            dropped(step)
        }
    }

    /// Whether a parameter does not change.
    pub fn is_frozen(&self, parameter: &str) -> bool {
        const STAGES: [&str; 5] = ["stem", "res2", "res3", "res4", "res5"];
        let Some(of_backbone) = parameter.strip_prefix("backbone.bottom_up.") else { return false };
        let frozen = STAGES[..self.frozen_stages].iter().any(|stage| of_backbone.starts_with(stage));
        frozen || (!self.trains_norms && parameter.contains(".norm."))
    }

    /// The decay of a parameter.
    pub fn decay(&self, parameter: &str) -> f64 {
        let [of_weights, of_norms, of_biases] = self.decays;
        match parameter {
            name if name.contains(".norm.") => of_norms,
            name if name.ends_with(".bias") => of_biases,
            _ => of_weights,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn solver(options: &str) -> Result<Solver, ConfigError> {
        let mut document = Document::pyramid();
        document.merge_options(options.split(' ')).unwrap();
        Solver::of(&document)
    }

    #[test]
    fn rates_are_those_of_detectron2() {
        let units = golden::json("faster_rcnn/units/units.json");
        for case in units["learning_rate"].as_array().unwrap() {
            let steps = case["steps"].to_string().replace(' ', "");
            let options = format!(
                "SOLVER.BASE_LR {} SOLVER.MAX_ITER {} SOLVER.STEPS {steps} SOLVER.WARMUP_ITERS {} SOLVER.GAMMA {}",
                case["base"], case["max_iter"], case["warmup_iters"], case["gamma"]
            );
            let solver = solver(&options).unwrap();
            let found: Vec<f64> =
                golden::indices(&case["iteration"]).into_iter().map(|step| solver.rate_of(step)).collect();
            golden::close(&options, &found, &golden::numbers(&case["lr"]), 1e-12);
        }
    }

    #[test]
    fn what_is_frozen_and_decays() {
        let frozen = solver("MODEL.BACKBONE.FREEZE_AT 2").unwrap();
        for (name, expected) in [
            ("backbone.bottom_up.stem.conv1.weight", true),
            ("backbone.bottom_up.res2.1.conv1.weight", true),
            ("backbone.bottom_up.res3.1.conv1.weight", false),
            ("backbone.bottom_up.res3.1.conv1.norm.weight", true),
            ("backbone.fpn_lateral2.weight", false),
        ] {
            assert_eq!(frozen.is_frozen(name), expected, "{name}");
        }
        let free = solver("MODEL.BACKBONE.FREEZE_AT 0 MODEL.RESNETS.NORM BN SOLVER.WEIGHT_DECAY_BIAS 0.5").unwrap();
        assert!(!free.is_frozen("backbone.bottom_up.stem.conv1.norm.weight"));
        let decays = ["a.norm.weight", "a.norm.bias", "a.bias", "a.weight"].map(|name| free.decay(name));
        assert_eq!(decays, [0.0, 0.0, 0.5, 1e-4]);
        assert_eq!(free.clipping, None);
        let clipped = solver("SOLVER.CLIP_GRADIENTS.ENABLED True SOLVER.CLIP_GRADIENTS.CLIP_TYPE norm").unwrap();
        assert_eq!(clipped.clipping, Some(Clipping::Norm(1.0)));
        let error = solver("INPUT.RANDOM_FLIP vertical").unwrap_err().to_string();
        assert_eq!(error, "INPUT.RANDOM_FLIP is 'vertical': horizontal or none would work");
    }
}
