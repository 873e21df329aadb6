use super::*;
use crate::golden;

fn small() -> String {
    String::from_utf8(golden::bytes("ssd/small/pipeline.config")).unwrap()
}

/// The small configuration with a text in the place of another.
fn with(old: &str, new: &str) -> Result<Config, String> {
    let text = small();
    assert!(text.contains(old), "{old}");
    Config::parse(&text.replacen(old, new, 1)).map_err(|error| error.to_string())
}

#[test]
fn a_file_of_users_is_read() {
    let config = Config::parse(&small()).unwrap();
    assert_eq!((config.classes, config.picture, config.predictor_side), (5, [96, 96], 1));
    let ExtractorConfig { backbone, depth_multiplier, min_depth, norm, backbone_norm } = config.extractor;
    assert_eq!((backbone, depth_multiplier, min_depth), (Backbone::MobileNetV2, 0.25, 16));
    assert_eq!((norm, backbone_norm), (NormConfig::SLIM, NormConfig::SLIM));
    assert_eq!(config.anchors.scales, [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0]);
    assert_eq!(config.box_scales, [10.0, 10.0, 5.0, 5.0]);
    let post = config.post_processing;
    assert_eq!((post.score_threshold, post.iou_threshold, post.per_class, post.total), (1e-8, 0.6, 100, 100));
    assert_eq!(post.converter, ScoreConverter::Sigmoid);
    let strict = String::from_utf8(golden::bytes("ssd/small/pipeline_focal_strict.config")).unwrap();
    let post = Config::parse(&strict).unwrap().post_processing;
    assert_eq!((post.score_threshold, post.per_class, post.total), (0.5, 8, 20));
}

#[test]
fn settings_change_the_description() {
    assert_eq!(with("width: 96", "width: 160").unwrap().picture, [96, 160]);
    assert_eq!(with("ssd_mobilenet_v2", "ssd_mobilenet_v1").unwrap().extractor.backbone, Backbone::MobileNetV1);
    let softmax = with("score_converter: SIGMOID", "score_converter: SOFTMAX").unwrap();
    assert_eq!(softmax.post_processing.converter, ScoreConverter::Softmax);
    assert_eq!(with("kernel_size: 1", "kernel_size: 3").unwrap().predictor_side, 3);
    let anchors = with("num_layers: 6", "num_layers: 6 reduce_boxes_in_lowest_layer: false").unwrap().anchors;
    assert_eq!((anchors.per_cell(0), anchors.per_cell(1)), (6, 6));
    let anchors = with("num_layers: 6", "num_layers: 6 interpolated_scale_aspect_ratio: 0").unwrap().anchors;
    assert_eq!((anchors.per_cell(0), anchors.per_cell(1)), (3, 5));
}

#[test]
fn what_cannot_be_used_is_named_with_its_path_and_line() {
    let refused = |old, new| with(old, new).unwrap_err();
    for (old, new, message) in [
        (
            "ssd_mobilenet_v2",
            "ssd_inception_v2",
            "line 78: model.ssd.feature_extractor.type is \"ssd_inception_v2\", and ssd_mobilenet_v2 or ssd_mobilenet_v1 would work",
        ),
        ("num_classes: 5", "num_classes: 0", "model.ssd.num_classes is 0, and a number of 1 to 10000 would work"),
        ("num_classes: 5", "", "model.ssd.num_classes is missing"),
        (
            "num_classes: 5",
            "num_classes: 5 num_classes: 6",
            "model.ssd.num_classes is there twice, and once would work",
        ),
        ("num_classes: 5", "num_classes: 5 hidden: 1", "line 4: model.ssd.hidden is not supported"),
        (
            "fixed_shape_resizer",
            "keep_aspect_ratio_resizer",
            "model.ssd.image_resizer.keep_aspect_ratio_resizer is not supported",
        ),
        (
            "height: 96",
            "height: 20000",
            "fixed_shape_resizer.height is 20000, and a number of 32 to 1536 pixels would work",
        ),
        ("model {\n  ssd {", "model {\n  faster_rcnn {", "line 3: model.faster_rcnn is not supported"),
        (
            "activation: RELU_6\n        regularizer",
            "activation: RELU\n        regularizer",
            "conv_hyperparams.activation is RELU",
        ),
        (
            "use_dropout: false",
            "use_depthwise: true",
            "convolutional_box_predictor.use_depthwise is true, and false would work",
        ),
        ("depth_multiplier: 0.25", "depth_multiplier: nan", "depth_multiplier is nan"),
        ("aspect_ratios: 1.0", "aspect_ratios: -1.0", "aspect_ratios is -1.0"),
        ("iou_threshold: 0.6", "iou_threshold: 0.6 soft_nms_sigma: 0.5", "soft_nms_sigma is 0.5, and 0.0 would work"),
    ] {
        // The first `RELU_6` is that of the predictor.
        let error = if old.starts_with("activation") {
            let text = small();
            let place = text.rfind(old).unwrap();
            Config::parse(&format!("{}{new}{}", &text[..place], &text[place + old.len()..])).unwrap_err().to_string()
        } else {
            refused(old, new)
        };
        assert!(error.contains(message), "{error}");
    }
    assert!(Config::parse("").unwrap_err().to_string().contains("model is missing: model { ssd { ... } } would work"));
    let folder = tempfile::tempdir().unwrap();
    let error = Config::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
    let large = folder.path().join("large");
    std::fs::write(&large, " ".repeat(MAX_BYTES as usize + 1)).unwrap();
    assert!(matches!(Config::read(&large).unwrap_err(), ConfigError::Large { .. }));
}

#[test]
fn frozen_normalizations_are_those_of_the_backbone_unless_their_own_settings_say_otherwise() {
    let fixed = |settings: &str, train: &str| {
        let text = small().replace("num_classes: 5", &format!("num_classes: 5 {settings}"));
        let extractor = Config::parse(&text.replace("train: true", train)).unwrap().extractor;
        [extractor.backbone_norm.is_fixed, extractor.norm.is_fixed]
    };
    assert_eq!(fixed("", "train: true"), [false, false]);
    assert_eq!(fixed("freeze_batchnorm: true", "train: true"), [true, false]);
    assert_eq!(fixed("", "train: false"), [false, true]);
}
