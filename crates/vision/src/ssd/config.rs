//! `pipeline.config` of TensorFlow's Object Detection API (`pipeline.proto`), as far as it describes an SSD.

mod error;
mod fields;
mod text;

use std::io::Read;
use std::path::Path;

pub use error::ConfigError;
pub(super) use fields::Fields;
pub(super) use text::Message;

use super::anchors::AnchorGenerator;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// The levels of both feature extractors.
const LEVELS: usize = 6;
/// The most classes.
const MOST_CLASSES: usize = 10_000;
/// The sides of pictures, in pixels.
const SIDES: std::ops::RangeInclusive<usize> = 32..=1536;
/// The most detections of a picture.
const MOST_DETECTIONS: usize = 10_000;
/// The most shapes of anchors.
const MOST_RATIOS: usize = 16;

/// The description of a network, and of what becomes of its outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The number of classes, without the background.
    pub classes: usize,
    /// Height and width of the pictures that the network takes, in pixels.
    pub picture: [usize; 2],
    /// The feature extractor.
    pub extractor: ExtractorConfig,
    /// The anchors.
    pub anchors: AnchorGenerator,
    /// The side of the box predictor's kernels.
    pub predictor_side: usize,
    /// What the encodings of a box are divided by: those of its centre's y and x, height and width.
    pub box_scales: [f32; 4],
    /// From scores to detections.
    pub post_processing: PostProcessing,
}

/// The feature extractor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExtractorConfig {
    /// Its architecture.
    pub backbone: Backbone,
    /// What the channels of its layers are multiplied with, above 0 to 4.
    pub depth_multiplier: f64,
    /// The fewest channels of a layer.
    pub min_depth: usize,
    /// The normalizations of the backbone.
    pub backbone_norm: NormConfig,
    /// Those of the layers after it.
    pub norm: NormConfig,
}

/// Normalizations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormConfig {
    /// What is added to variances.
    pub epsilon: f64,
    /// The share of running statistics that stays in a step of training.
    pub decay: f64,
    /// Whether training uses the running statistics and does not change them.
    pub is_fixed: bool,
}

impl NormConfig {
    /// What slim has by default in its backbones.
    const SLIM: Self = Self { epsilon: 1e-3, decay: 0.9997, is_fixed: false };
}

/// The architecture of a feature extractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// `ssd_mobilenet_v1`.
    MobileNetV1,
    /// `ssd_mobilenet_v2`.
    MobileNetV2,
}

/// How logits become scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreConverter {
    /// Each class has a probability of its own.
    Sigmoid,
    /// The probabilities of all classes and the background are 1 together.
    Softmax,
    /// They are scores already.
    Identity,
}

/// From scores to detections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PostProcessing {
    /// A score has to be above this.
    pub score_threshold: f32,
    /// A box goes if its overlap with a better one of its class, intersection over union, is above this.
    pub iou_threshold: f32,
    /// The most detections of a class.
    pub per_class: usize,
    /// The most detections of a picture.
    pub total: usize,
    /// How logits become scores.
    pub converter: ScoreConverter,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
        let mut text = String::new();
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        opened.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(ConfigError::Large { file: file.to_owned(), limit: MAX_BYTES });
        }
        Self::parse(&text)
    }

    /// Parses a text. Of its messages, `model` is read.
    ///
    /// # Errors
    /// [`ConfigError`]: another format, another model, or a setting of the model that is not supported, with its path.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let message = Message::parse(text)?;
        let pipeline = Fields::of(&message);
        let model = pipeline.required("model", "model { ssd { ... } }")?;
        let (_, ssd) = model.one_of(&["ssd"], "ssd { ... }")?;
        pipeline.pass_over(&[
            "train_config",
            "train_input_reader",
            "eval_config",
            "eval_input_reader",
            "eval_input_configs",
            "graph_rewriter",
        ]);
        pipeline.finish()?;
        // What follows changes training alone.
        ssd.pass_over(&[
            "encode_background_as_zeros",
            "expected_loss_weights",
            "inplace_batchnorm_update",
            "loss",
            "matcher",
            "negative_class_weight",
            "normalize_loc_loss_by_codesize",
            "normalize_loss_by_num_matches",
            "similarity_calculator",
            "use_confidences_as_targets",
            "implicit_example_weight",
            "return_raw_detections_during_predict",
        ]);
        ssd.always("add_background_class", true)?;
        ssd.always("explicit_background_class", false)?;
        let classes =
            ssd.number("num_classes", 0, "a number of 1 to 10000", |classes| (1..=MOST_CLASSES).contains(classes))?;
        if classes == 0 {
            return Err(ConfigError::Missing { path: "model.ssd.num_classes".to_owned(), needed: "num_classes: 1" });
        }
        let config = Self {
            classes,
            picture: picture(&ssd)?,
            extractor: extractor(&ssd)?,
            anchors: anchors(&ssd)?,
            predictor_side: predictor(&ssd)?,
            box_scales: box_scales(&ssd)?,
            post_processing: post_processing(&ssd)?,
        };
        ssd.finish()?;
        Ok(config)
    }
}

fn picture(ssd: &Fields) -> Result<[usize; 2], ConfigError> {
    let resizer = ssd.required("image_resizer", "image_resizer { fixed_shape_resizer { height: 300 width: 300 } }")?;
    let (_, fixed) = resizer.one_of(&["fixed_shape_resizer"], "fixed_shape_resizer { height: 300 width: 300 }")?;
    let side = |name| fixed.number(name, 300, "a number of 32 to 1536 pixels", |side| SIDES.contains(side));
    let picture = [side("height")?, side("width")?];
    fixed.word("resize_method", Some(()), &[("BILINEAR", ())])?;
    fixed.always("convert_to_grayscale", false)?;
    fixed.finish()?;
    Ok(picture)
}

fn extractor(ssd: &Fields) -> Result<ExtractorConfig, ConfigError> {
    let extractor = ssd.required("feature_extractor", "feature_extractor { type: \"ssd_mobilenet_v2\" ... }")?;
    let known = [("ssd_mobilenet_v2", Backbone::MobileNetV2), ("ssd_mobilenet_v1", Backbone::MobileNetV1)];
    let backbone = extractor.word("type", None, &known)?;
    let depth_multiplier =
        extractor.number("depth_multiplier", 1.0, "a number above 0 to 4", |depth| *depth > 0.0 && *depth <= 4.0)?;
    let min_depth = extractor.number("min_depth", 16, "a number of 1 to 1024", |depth| (1..=1024).contains(depth))?;
    extractor.number("pad_to_multiple", 1, "1", |multiple: &usize| *multiple == 1)?;
    extractor.number("num_layers", LEVELS, "6", |levels| *levels == LEVELS)?;
    extractor.always("use_explicit_padding", false)?;
    extractor.always("use_depthwise", false)?;
    extractor.pass_over(&["replace_preprocessor_with_placeholder"]);
    let overrides = extractor.flag("override_base_feature_extractor_hyperparams", false)?;
    let norm = match extractor.message("conv_hyperparams")? {
        Some(hyperparameters) => norm(&hyperparameters)?,
        None => NormConfig::SLIM,
    };
    extractor.finish()?;
    // It does not reach what `conv_hyperparams` describe: those say themselves whether they train.
    let is_fixed = ssd.flag("freeze_batchnorm", false)?;
    let backbone_norm = if overrides { norm } else { NormConfig { is_fixed, ..NormConfig::SLIM } };
    Ok(ExtractorConfig { backbone, depth_multiplier, min_depth, backbone_norm, norm })
}

/// The normalizations of `conv_hyperparams`.
fn norm(hyperparameters: &Fields) -> Result<NormConfig, ConfigError> {
    hyperparameters.pass_over(&["regularizer", "initializer", "regularize_depthwise"]);
    hyperparameters.word("op", Some(()), &[("CONV", ())])?;
    hyperparameters.word("activation", Some(()), &[("RELU_6", ())])?;
    let norm = hyperparameters.required("batch_norm", "batch_norm { scale: true epsilon: 0.001 }")?;
    let is_fixed = !norm.flag("train", true)?;
    norm.always("center", true)?;
    norm.word("scale", None, &[("true", ())])?;
    let above = |value: &f64| *value > 0.0 && *value <= 1.0;
    let epsilon = norm.number("epsilon", NormConfig::SLIM.epsilon, "a number above 0 to 1", above)?;
    let decay = norm.number("decay", 0.999, "a number above 0 to 1", above)?;
    norm.finish()?;
    hyperparameters.finish()?;
    Ok(NormConfig { epsilon, decay, is_fixed })
}

fn anchors(ssd: &Fields) -> Result<AnchorGenerator, ConfigError> {
    let generator = ssd.required("anchor_generator", "anchor_generator { ssd_anchor_generator { ... } }")?;
    let (_, anchors) = generator.one_of(&["ssd_anchor_generator"], "ssd_anchor_generator { ... }")?;
    let size = |value: &f32| *value > 0.0 && *value <= 10.0;
    let needed = "a number above 0 to 10";
    anchors.number("num_layers", LEVELS, "6", |levels| *levels == LEVELS)?;
    let least = anchors.number("min_scale", 0.2_f32, needed, size)?;
    let most = anchors.number("max_scale", 0.95_f32, needed, size)?;
    let mut scales: Vec<f32> = anchors.numbers("scales", needed, size)?;
    if scales.is_empty() {
        // In 64 bits, as Python computes them.
        let (least, most) = (f64::from(least), f64::from(most));
        let scale = |level: usize| least + (most - least) * level as f64 / (LEVELS - 1) as f64;
        scales = (0..LEVELS).map(|level| scale(level) as f32).collect();
    } else if scales.len() != LEVELS {
        let path = "model.ssd.anchor_generator.ssd_anchor_generator.scales".to_owned();
        return Err(ConfigError::Missing { path, needed: "six of them" });
    }
    scales.push(1.0);
    let aspect_ratios: Vec<f32> = anchors.numbers("aspect_ratios", needed, size)?;
    if aspect_ratios.is_empty() || aspect_ratios.len() > MOST_RATIOS {
        let path = "model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios".to_owned();
        return Err(ConfigError::Missing { path, needed: "1 to 16 of them" });
    }
    let interpolated = anchors.number("interpolated_scale_aspect_ratio", 1.0_f32, "a number of 0 to 10", |ratio| {
        (0.0..=10.0).contains(ratio)
    })?;
    let base = [
        anchors.number("base_anchor_height", 1.0, needed, size)?,
        anchors.number("base_anchor_width", 1.0, needed, size)?,
    ];
    let reduce_first = anchors.flag("reduce_boxes_in_lowest_layer", true)?;
    anchors.finish()?;
    let interpolated_ratio = (interpolated > 0.0).then_some(interpolated);
    Ok(AnchorGenerator { scales, aspect_ratios, interpolated_ratio, reduce_first, base })
}

fn predictor(ssd: &Fields) -> Result<usize, ConfigError> {
    let predictor = ssd.required("box_predictor", "box_predictor { convolutional_box_predictor { ... } }")?;
    let (_, predictor) = predictor.one_of(&["convolutional_box_predictor"], "convolutional_box_predictor { ... }")?;
    predictor.number("num_layers_before_predictor", 0, "0", |layers: &usize| *layers == 0)?;
    predictor.number("box_code_size", 4, "4", |size: &usize| *size == 4)?;
    predictor.always("apply_sigmoid_to_scores", false)?;
    predictor.always("use_depthwise", false)?;
    let side = predictor.number("kernel_size", 1, "1 or 3", |side| matches!(side, 1 | 3))?;
    // Depths are those of layers before the predictor, and the others concern training alone.
    predictor.pass_over(&[
        "min_depth",
        "max_depth",
        "conv_hyperparams",
        "use_dropout",
        "dropout_keep_probability",
        "class_prediction_bias_init",
    ]);
    predictor.finish()?;
    Ok(side)
}

fn box_scales(ssd: &Fields) -> Result<[f32; 4], ConfigError> {
    let defaults = [("y_scale", 10.0), ("x_scale", 10.0), ("height_scale", 5.0), ("width_scale", 5.0)];
    let coder = ssd.required("box_coder", "box_coder { faster_rcnn_box_coder { } }")?;
    let (_, coder) = coder.one_of(&["faster_rcnn_box_coder"], "faster_rcnn_box_coder { }")?;
    let mut scales = [0.0; 4];
    for (scale, (name, default)) in scales.iter_mut().zip(defaults) {
        *scale = coder.number(name, default, "a number above 0 to 1000", |scale| *scale > 0.0 && *scale <= 1000.0)?;
    }
    coder.finish()?;
    Ok(scales)
}

fn post_processing(ssd: &Fields) -> Result<PostProcessing, ConfigError> {
    let post = ssd.required("post_processing", "post_processing { batch_non_max_suppression { } }")?;
    let converters = [
        ("SIGMOID", ScoreConverter::Sigmoid),
        ("SOFTMAX", ScoreConverter::Softmax),
        ("IDENTITY", ScoreConverter::Identity),
    ];
    let converter = post.word("score_converter", Some(ScoreConverter::Identity), &converters)?;
    post.number("logit_scale", 1.0, "1.0", |scale: &f32| *scale == 1.0)?;
    let share = |value: &f32| (0.0..=1.0).contains(value);
    let count = |value: &usize| (1..=MOST_DETECTIONS).contains(value);
    let needed = "a number of 1 to 10000";
    let suppression = post.required("batch_non_max_suppression", "batch_non_max_suppression { }")?;
    let settings = PostProcessing {
        score_threshold: suppression.number("score_threshold", 0.0, "a number of 0 to 1", share)?,
        iou_threshold: suppression.number("iou_threshold", 0.6, "a number of 0 to 1", share)?,
        per_class: suppression.number("max_detections_per_class", 100, needed, count)?,
        total: suppression.number("max_total_detections", 100, needed, count)?,
        converter,
    };
    suppression.pass_over(&["use_static_shapes"]);
    suppression.always("use_class_agnostic_nms", false)?;
    suppression.number("soft_nms_sigma", 0.0, "0.0", |sigma: &f32| *sigma == 0.0)?;
    suppression.finish()?;
    post.finish()?;
    Ok(settings)
}

#[cfg(test)]
mod tests;
