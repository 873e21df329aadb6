//! What a `pipeline.config` says of training: `train_config`, and the parts of the model that concern training alone.

use super::super::config::{ConfigError, Fields, Message};
use super::augmentation::{Augmentation, CropChoice};
use super::losses::{BoxLoss, ClassLoss, LossSettings};
use super::mining::{HardBy, Miner};
use super::schedule::Schedule;
use super::targets::Matcher;
use nn::Rule;

/// The L2 regularization and the deviation of weights in slim's backbones.
const BACKBONE: Hyperparameters =
    Hyperparameters { l2: 4e-5, initial: Initial::TruncatedNormal { mean: 0.0, deviation: 0.09 } };

/// The settings of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSettings {
    /// Which anchors are to find an object.
    pub matcher: Matcher,
    /// The losses.
    pub loss: LossSettings,
    /// Of the backbone.
    pub backbone: Hyperparameters,
    /// Of the levels after it.
    pub levels: Hyperparameters,
    /// Of the box predictors.
    pub predictor: Hyperparameters,
    /// What the biases of classes begin with.
    pub class_bias: f32,
    /// Pictures of a batch.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// The rule of the optimizer.
    pub rule: Rule,
    /// The learning rate.
    pub schedule: Schedule,
    /// The decay of the parameters' moving averages, where those become the model.
    pub average: Option<f64>,
    /// The length that each gradient is cut to.
    pub longest_gradient: Option<f64>,
    /// How pictures are changed, one after the other.
    pub augmentations: Vec<Augmentation>,
    /// Variables whose names match one of these expressions do not change.
    pub frozen: Vec<String>,
    /// The files to train with, as the configuration names them.
    pub records: Vec<String>,
    /// The files to validate with.
    pub validation_records: Vec<String>,
}

/// Of convolutions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyperparameters {
    /// L2 regularization: what the square of a weight adds to the loss, halved.
    pub l2: f64,
    /// What weights begin with.
    pub initial: Initial,
}

/// What weights begin with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// A normal distribution; values beyond two deviations are drawn again.
    TruncatedNormal {
        /// Its mean.
        mean: f64,
        /// Its deviation.
        deviation: f64,
    },
    /// A normal distribution.
    Normal {
        /// Its mean.
        mean: f64,
        /// Its deviation.
        deviation: f64,
    },
}

impl TrainingSettings {
    /// Parses a text that [`Config::parse`](super::super::Config::parse) has read.
    ///
    /// # Errors
    /// [`ConfigError`]: a setting that is not supported, with its path.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let message = Message::parse(text)?;
        let pipeline = Fields::of(&message);
        let model = pipeline.required("model", "model { ssd { ... } }")?;
        let ssd = model.required("ssd", "ssd { ... }")?;
        let train = pipeline.required("train_config", "train_config { batch_size: 24 ... }")?;
        let extractor = ssd.required("feature_extractor", "feature_extractor { ... }")?;
        let levels = hyperparameters(&extractor, BACKBONE)?;
        let backbone =
            if extractor.flag("override_base_feature_extractor_hyperparams", false)? { levels } else { BACKBONE };
        let predictors = ssd.required("box_predictor", "box_predictor { ... }")?;
        let predictor = predictors.required("convolutional_box_predictor", "convolutional_box_predictor { ... }")?;
        predictor.always("use_dropout", false)?;
        let average = average(&pipeline)?;
        let (rule, schedule, averaged) = optimizer(&train)?;
        let settings = Self {
            matcher: matcher(&ssd)?,
            loss: loss(&ssd)?,
            backbone,
            levels,
            predictor: hyperparameters(&predictor, BACKBONE)?,
            class_bias: predictor
                .number("class_prediction_bias_init", 0.0, "a number", |bias: &f32| bias.is_finite())?,
            batch: train.number("batch_size", 32, "a number of 1 to 1024", |batch| (1..=1024).contains(batch))?,
            steps: train
                .number("num_steps", 0, "a number of 1 to 10000000", |steps| (0..=10_000_000).contains(steps))?,
            rule,
            schedule,
            average: averaged.filter(|_| average),
            longest_gradient: Some(train.number(
                "gradient_clipping_by_norm",
                0.0,
                "a number from 0",
                |length: &f64| *length >= 0.0,
            )?)
            .filter(|length| *length > 0.0),
            augmentations: augmentations(&train)?,
            frozen: train.texts("freeze_variables")?,
            records: records(&pipeline, "train_input_reader")?,
            validation_records: records(&pipeline, "eval_input_reader")?,
        };
        // How a training begins follows from its job, and what is left has no use here.
        train.pass_over(&[
            "fine_tune_checkpoint",
            "fine_tune_checkpoint_type",
            "fine_tune_checkpoint_version",
            "from_detection_checkpoint",
            "load_all_detection_checkpoint_vars",
            "keep_checkpoint_every_n_hours",
            "max_number_of_boxes",
            "unpad_groundtruth_tensors",
            "sync_replicas",
            "startup_delay_steps",
            "replicas_to_aggregate",
            "batch_queue_capacity",
            "num_batch_queue_threads",
            "prefetch_queue_capacity",
        ]);
        train.number("bias_grad_multiplier", 0.0, "0.0", |multiplier: &f64| *multiplier == 0.0)?;
        train.always("add_regularization_loss", true)?;
        train.always("merge_multiple_label_boxes", false)?;
        train.finish()?;
        Ok(settings)
    }
}

/// The files of all input readers of a name.
fn records(pipeline: &Fields, name: &str) -> Result<Vec<String>, ConfigError> {
    let mut files = Vec::new();
    for reader in pipeline.messages(name)? {
        if let Some(records) = reader.message("tf_record_input_reader")? {
            files.extend(records.texts("input_path")?);
        }
    }
    Ok(files)
}

/// Whether the moving averages of parameters become the model.
fn average(pipeline: &Fields) -> Result<bool, ConfigError> {
    let Some(eval) = pipeline.message("eval_config")? else { return Ok(false) };
    eval.flag("use_moving_averages", false)
}

fn hyperparameters(parent: &Fields, default: Hyperparameters) -> Result<Hyperparameters, ConfigError> {
    let Some(given) = parent.message("conv_hyperparams")? else { return Ok(default) };
    let number = |fields: &Fields, name: &str, default: f64| {
        fields.number(name, default, "a number", |value: &f64| value.is_finite())
    };
    let l2 = match given.message("regularizer")? {
        Some(regularizer) => {
            let (_, l2) = regularizer.one_of(&["l2_regularizer"], "l2_regularizer { weight: 0.00004 }")?;
            l2.number("weight", 1.0, "a number of 0 to 1", |weight: &f64| (0.0..=1.0).contains(weight))?
        }
        None => 0.0,
    };
    let initial = match given.message("initializer")? {
        Some(initializer) => {
            let needed = "truncated_normal_initializer { stddev: 0.03 }";
            let names = ["truncated_normal_initializer", "random_normal_initializer"];
            let (name, normal) = initializer.one_of(&names, needed)?;
            let (mean, deviation) = (number(&normal, "mean", 0.0)?, number(&normal, "stddev", 1.0)?);
            match name {
                "random_normal_initializer" => Initial::Normal { mean, deviation },
                _ => Initial::TruncatedNormal { mean, deviation },
            }
        }
        None => default.initial,
    };
    Ok(Hyperparameters { l2, initial })
}

fn matcher(ssd: &Fields) -> Result<Matcher, ConfigError> {
    let matcher = ssd.required("matcher", "matcher { argmax_matcher { } }")?;
    let (_, matcher) = matcher.one_of(&["argmax_matcher"], "argmax_matcher { }")?;
    if let Some(similarity) = ssd.message("similarity_calculator")? {
        similarity.one_of(&["iou_similarity"], "iou_similarity { }")?;
    }
    let share = |name: &str| matcher.number(name, 0.5, "a number of 0 to 1", |share: &f32| (0.0..=1.0).contains(share));
    let (matched, unmatched) = (share("matched_threshold")?, share("unmatched_threshold")?);
    matcher.always("ignore_thresholds", false)?;
    matcher.pass_over(&["use_matmul_gather"]);
    let settings = Matcher {
        matched,
        unmatched,
        lower_are_negative: matcher.flag("negatives_lower_than_unmatched", true)?,
        is_forced: matcher.flag("force_match_for_each_row", false)?,
    };
    matcher.finish()?;
    Ok(settings)
}

fn loss(ssd: &Fields) -> Result<LossSettings, ConfigError> {
    let loss = ssd.required("loss", "loss { classification_loss { ... } localization_loss { ... } }")?;
    let classification = loss.required("classification_loss", "classification_loss { weighted_sigmoid { } }")?;
    let kinds = ["weighted_sigmoid", "weighted_sigmoid_focal", "weighted_softmax"];
    let (kind, of_kind) = classification.one_of(&kinds, "weighted_sigmoid { }")?;
    let number = |fields: &Fields, name: &str, default: f32| {
        fields.number(name, default, "a number of 0 to 1000", |value: &f32| (0.0..=1000.0).contains(value))
    };
    let class = match kind {
        "weighted_sigmoid_focal" => {
            ClassLoss::Focal { alpha: number(&of_kind, "alpha", 0.25)?, gamma: number(&of_kind, "gamma", 2.0)? }
        }
        "weighted_softmax" => {
            of_kind.number("logit_scale", 1.0, "1.0", |scale: &f32| *scale == 1.0)?;
            ClassLoss::Softmax
        }
        _ => ClassLoss::Sigmoid,
    };
    // Whether losses are anchor by anchor changes nothing.
    of_kind.pass_over(&["anchorwise_output"]);
    of_kind.finish()?;
    let localization = loss.required("localization_loss", "localization_loss { weighted_smooth_l1 { } }")?;
    let (kind, of_kind) = localization.one_of(&["weighted_smooth_l1", "weighted_l2"], "weighted_smooth_l1 { }")?;
    of_kind.pass_over(&["anchorwise_output"]);
    let boxes = match kind {
        "weighted_l2" => BoxLoss::L2,
        _ => BoxLoss::SmoothL1 { delta: number(&of_kind, "delta", 1.0)? },
    };
    of_kind.finish()?;
    let miner = match loss.message("hard_example_miner")? {
        Some(miner) => Some(self::miner(&miner)?),
        None => None,
    };
    let settings = LossSettings {
        class,
        boxes,
        class_weight: number(&loss, "classification_weight", 1.0)?,
        box_weight: number(&loss, "localization_weight", 1.0)?,
        miner,
        by_matches: ssd.flag("normalize_loss_by_num_matches", true)?,
        by_code: ssd.flag("normalize_loc_loss_by_codesize", false)?,
    };
    loss.finish()?;
    Ok(settings)
}

fn miner(miner: &Fields) -> Result<Miner, ConfigError> {
    let count = |name: &str, default: usize| miner.number(name, default, "a whole number", |_: &usize| true);
    let most = count("num_hard_examples", 64)?;
    let kinds =
        [("BOTH", HardBy::Both), ("CLASSIFICATION", HardBy::Classification), ("LOCALIZATION", HardBy::Localization)];
    let ratio = miner.number("max_negatives_per_positive", 0.0, "a number from 0", |ratio: &f32| *ratio >= 0.0)?;
    let settings = Miner {
        most: Some(most).filter(|most| *most > 0),
        iou: miner.number("iou_threshold", 0.7, "a number of 0 to 1", |iou: &f32| (0.0..=1.0).contains(iou))?,
        by: miner.word("loss_type", Some(HardBy::Both), &kinds)?,
        negatives_per_positive: Some(ratio).filter(|ratio| *ratio > 0.0),
        least_negatives: count("min_negatives_per_image", 0)?,
    };
    miner.finish()?;
    Ok(settings)
}

/// The rule, the learning rate, and the decay of moving averages where they are kept.
fn optimizer(train: &Fields) -> Result<(Rule, Schedule, Option<f64>), ConfigError> {
    let needed = "optimizer { momentum_optimizer { learning_rate { ... } } }";
    let optimizer = train.required("optimizer", needed)?;
    let share = |fields: &Fields, name: &str, default: f64| {
        fields.number(name, default, "a number of 0 to 1", |value: &f64| (0.0..=1.0).contains(value))
    };
    let averaged = optimizer.flag("use_moving_average", true)?;
    let average = share(&optimizer, "moving_average_decay", 0.9999)?;
    let names = ["rms_prop_optimizer", "momentum_optimizer", "adam_optimizer"];
    let (name, of_rule) = optimizer.one_of(&names, needed)?;
    let epsilon = |default: f64| of_rule.number("epsilon", default, "a number from 0", |value: &f64| *value >= 0.0);
    let rule = match name {
        "rms_prop_optimizer" => Rule::RmsProp {
            decay: share(&of_rule, "decay", 0.9)?,
            momentum: share(&of_rule, "momentum_optimizer_value", 0.9)?,
            epsilon: epsilon(1.0)?,
        },
        "momentum_optimizer" => Rule::Momentum { momentum: share(&of_rule, "momentum_optimizer_value", 0.9)? },
        _ => Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: epsilon(1e-8)? },
    };
    let schedule = Schedule::read(&of_rule.required("learning_rate", "learning_rate { ... }")?)?;
    of_rule.finish()?;
    Ok((rule, schedule, averaged.then_some(average)))
}

fn augmentations(train: &Fields) -> Result<Vec<Augmentation>, ConfigError> {
    let mut all = Vec::new();
    for options in train.messages("data_augmentation_options")? {
        let (name, of_kind) = options.one_of(&Augmentation::NAMES, "random_horizontal_flip { }")?;
        let number = |name: &str, default: f32| {
            of_kind.number(name, default, "a number of 0 to 100", |value: &f32| (0.0..=100.0).contains(value))
        };
        all.push(match name {
            "random_horizontal_flip" => Augmentation::Flip { probability: number("probability", 0.5)? },
            "random_adjust_brightness" => Augmentation::Brightness { most: number("max_delta", 0.2)? },
            "random_adjust_contrast" => {
                Augmentation::Contrast { range: [number("min_delta", 0.8)?, number("max_delta", 1.25)?] }
            }
            "random_adjust_saturation" => {
                Augmentation::Saturation { range: [number("min_delta", 0.8)?, number("max_delta", 1.25)?] }
            }
            "random_adjust_hue" => Augmentation::Hue { most: number("max_delta", 0.02)? },
            _ => Augmentation::Crop { choices: crops(&of_kind)? },
        });
        of_kind.finish()?;
    }
    Ok(all)
}

/// The operations of `ssd_random_crop`, or its own seven.
fn crops(crop: &Fields) -> Result<Vec<CropChoice>, ConfigError> {
    let mut choices = Vec::new();
    for operation in crop.messages("operations")? {
        let number = |name: &str, default: f32| {
            operation.number(name, default, "a number of 0 to 10", |value: &f32| (0.0..=10.0).contains(value))
        };
        choices.push(CropChoice {
            min_overlap: number("min_object_covered", 0.0)?,
            aspect_ratios: [number("min_aspect_ratio", 0.5)?, number("max_aspect_ratio", 2.0)?],
            areas: [number("min_area", 0.1)?, number("max_area", 1.0)?],
            least_kept: number("overlap_thresh", 0.0)?,
            uncropped: number("random_coef", 0.15)?,
        });
        operation.pass_over(&["clip_boxes"]);
        operation.finish()?;
    }
    Ok(if choices.is_empty() { CropChoice::DEFAULTS.to_vec() } else { choices })
}
