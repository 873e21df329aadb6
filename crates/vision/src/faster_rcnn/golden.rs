//! The network against Detectron2 (float32, CPU), on made-up weights. `tests/golden/README.md` documents the figures' origin.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use nn::checkpoint::Checkpoint;
use picture::RgbImage;
use serde_json::Value;

use super::*;
use crate::faster_rcnn::config::{Document, Selection};
use crate::golden;

/// A configuration.
pub(crate) fn document(name: &str) -> Document {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/faster_rcnn").join(name);
    let mut document = Document::default();
    document.merge_file(&folder.join("config.yaml")).unwrap();
    document
}

/// A configuration with its made-up weights.
fn identity(name: &str) -> Identity {
    let config = Config::of(&document(name)).unwrap();
    let list = format!("faster_rcnn/{name}/tensors.json");
    let checkpoint = golden::made_up_of(&list, 0, name, tensors(&config.form));
    identify(&checkpoint, Some(config)).unwrap()
}

pub(crate) fn portrait() -> RgbImage {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/astronaut.png");
    picture::decode(&std::fs::read(file).unwrap()).unwrap()
}

/// The part of the portrait that the small configuration sees.
pub(crate) fn small_input() -> RgbImage {
    let portrait = portrait();
    RgbImage::from_fn(240, 200, |x, y| *portrait.get_pixel(110 + x, 20 + y))
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec_as().unwrap()
}

/// Compares every `strides`-th value of maps, `(1, height, width, channels)`, with an array of channels by rows by columns.
#[track_caller]
fn maps_are(what: &str, maps: Tensor<4>, strides: &Value) {
    let [channel, row, column] = golden::indices(strides).try_into().unwrap();
    let [_, height, width, channels] = maps.dims();
    let values = flat(maps);
    let mut found = Vec::new();
    for channel in (0..channels).step_by(channel) {
        for row in (0..height).step_by(row) {
            let value = |column| f64::from(values[(row * width + column) * channels + channel]);
            found.extend((0..width).step_by(column).map(value));
        }
    }
    let expected = golden::doubles(&golden::array(&format!("faster_rcnn/small/a/{what}")));
    golden::close(what, &found, &expected, 1e-3);
}

#[track_caller]
fn values_are(what: &str, found: &[f32], tolerance: f64) {
    let expected = golden::doubles(&golden::array(&format!("faster_rcnn/small/a/{what}")));
    golden::close(what, &golden::doubles(found), &expected, tolerance);
}

/// Every `step`-th row of values.
fn rows(values: &[f32], length: usize, step: &Value) -> Vec<f32> {
    values.chunks_exact(length).step_by(step.as_u64().unwrap() as usize).flatten().copied().collect()
}

fn small_equals_the_reference(network: &FasterRcnn) {
    let samples = golden::json("faster_rcnn/small/config.json");
    let input = &network.config.input;
    let resized = preparing::resized(&small_input(), input);
    assert_eq!(resized.dimensions(), (307, 256));
    let prepared = preparing::prepared(&resized, input);
    assert_eq!((prepared.padded, prepared.size), ([320, 256], [307, 256]));
    let values = TensorData::new(prepared.values.clone(), [1, 256, 320, 3]);
    maps_are("input", Tensor::from_data(values, &Device::Cpu.burn()), &samples["samples"]["input"]);

    let bottom_up = network.network.bottom_up(network.pictures(prepared));
    let pyramid = network.network.pyramid(bottom_up.clone());
    let names = ["stem", "res2", "res3", "res4", "res5", "p2", "p3", "p4", "p5", "p6"];
    for (name, maps) in names.into_iter().zip(bottom_up.iter().chain(&pyramid)) {
        maps_are(name, network.network.channels_innermost(maps.clone()), &samples["samples"][name]);
    }

    let (mut logits, mut offsets) = (Vec::new(), Vec::new());
    for maps in &pyramid {
        let anchored = network.network.anchored(maps.clone());
        logits.extend(flat(anchored.logits));
        offsets.extend(flat(anchored.offsets));
    }
    values_are("rpn_logits", &rows(&logits, 1, &samples["rpn_sample"]["logits"]), 1e-3);
    values_are("rpn_deltas", &rows(&offsets, 4, &samples["rpn_sample"]["deltas"]), 1e-3);

    let answer = golden::array("faster_rcnn/small/a/proposals");
    let regions = network.regions(&pyramid, [307.0, 256.0]).unwrap();
    assert_eq!(regions.len(), answer.len() / 6);
    for (region, answer) in regions.iter().zip(answer.as_chunks::<6>().0) {
        let found: Vec<f64> = golden::doubles(&region.corners);
        golden::close("corners of a region", &found, &golden::doubles(&answer[..4]), 0.01);
        golden::close("logit", &[region.logit.into()], &[answer[4].into()], 1e-3);
        assert_eq!(roi_align::level(region.corners) + 2, answer[5] as usize);
    }

    let regions: Vec<[f32; 4]> = regions.iter().map(|region| region.corners).collect();
    let aligned = network.aligned(pyramid, &regions).unwrap();
    values_are("roi_align", &rows(&flat(aligned.clone()), aligned.dims()[1], &samples["roi_sample"][0]), 2e-3);
    let hidden = network.network.hidden(aligned);
    values_are("fc", &flat(hidden.clone()), 2e-3);
    let [logits, offsets] = network.network.classified(hidden.clone()).map(flat);
    values_are("class_logits", &logits, 5e-3);
    values_are("box_deltas", &offsets, 5e-3);

    let answer = golden::json("faster_rcnn/small/a/detections.json");
    let found = network.found(&regions, hidden, [307.0, 256.0]).unwrap();
    let corners: Vec<f32> = found.iter().flat_map(|found| found.detection.corners).collect();
    let before = &answer["before_postprocess"];
    golden::close("boxes before", &golden::doubles(&corners), &golden::numbers(&before["boxes"]), 0.05);
    let from: Vec<usize> = found.iter().map(|found| found.region).collect();
    assert_eq!(from, golden::indices(&before["proposal"]));
    detections_are(&network.detect(&small_input()).unwrap(), &answer);
}

/// All detections, in the same order.
#[track_caller]
pub(crate) fn detections_are(found: &[Detection], answer: &Value) {
    let classes: Vec<usize> = found.iter().map(|detection| detection.class).collect();
    assert_eq!(classes, golden::indices(&answer["classes"]));
    let corners: Vec<f32> = found.iter().flat_map(|detection| detection.corners).collect();
    golden::close("boxes", &golden::doubles(&corners), &golden::numbers(&answer["boxes"]), 0.05);
    let scores: Vec<f64> = found.iter().map(|detection| detection.score.into()).collect();
    golden::close("scores", &scores, &golden::numbers(&answer["scores"]), 1e-3);
}

#[test]
fn every_stage_of_a_small_network_equals_the_reference() {
    let identity = identity("small");
    small_equals_the_reference(&FasterRcnn::load(&identity, Device::Cpu).unwrap());
    // Burn's operations, which also run on a GPU.
    small_equals_the_reference(&FasterRcnn::load_reference(&identity, Device::Cpu).unwrap());
}

#[test]
fn a_file_of_pytorch_without_a_configuration_finds_what_the_reference_finds() {
    let folder = tempfile::tempdir().unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/faster_rcnn/own_model");
    let unpacked = Command::new("tar").arg("-xzf").arg(own.join("model.tar.gz")).arg("-C").arg(folder.path()).status();
    assert!(unpacked.unwrap().success());
    let checkpoint = Checkpoint::open(&folder.path().join("model.pth")).unwrap();
    assert!(is_one(&checkpoint));
    let mut identity = identify(&checkpoint, None).unwrap();
    assert_eq!(identity.checkpoint.prefix(), "model.");
    identity.config.detecting.score = 0.2;
    let found = FasterRcnn::load(&identity, Device::Cpu).unwrap().detect(&small_input()).unwrap();
    let answer = golden::json("faster_rcnn/own_model/expected.json");
    let (boxes, scores) = (golden::rows::<4>(&answer["pred_boxes"]), golden::numbers(&answer["scores"]));
    let classes = golden::indices(&answer["pred_classes"]);
    // Scores below it are close to each other.
    let count = scores.iter().filter(|score| **score > 0.3).count();
    assert!(count > 10 && found.iter().all(|found| found.score > 0.2));
    for index in 0..count {
        let is_same = |found: &Detection| {
            let corners = found.corners.iter().zip(boxes[index]);
            found.class == classes[index]
                && (f64::from(found.score) - scores[index]).abs() < 2e-3
                && corners.into_iter().all(|(one, other)| (f64::from(*one) - other).abs() < 0.5)
        };
        assert!(found.iter().any(is_same), "detection {index}");
    }
}

/// The share of boxes that overlap.
fn overlap(one: [f64; 4], other: [f64; 4]) -> f64 {
    let area = |[left, top, right, bottom]: [f64; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
    let shared = area([one[0].max(other[0]), one[1].max(other[1]), one[2].min(other[2]), one[3].min(other[3])]);
    shared / (area(one) + area(other) - shared)
}

fn large_equals_the_reference(name: &str) {
    let network = FasterRcnn::load(&identity(name), Device::Cpu).unwrap();
    let found = network.detect(&portrait()).unwrap();
    let answer = golden::json(&format!("faster_rcnn/{name}/a/detections.json"));
    let (boxes, scores, classes) =
        (golden::rows::<4>(&answer["boxes"]), golden::numbers(&answer["scores"]), golden::indices(&answer["classes"]));
    let mut free: BTreeSet<usize> = (0..found.len()).collect();
    let mut matched = 0;
    for index in 0..boxes.len() {
        let is_same = |other: &usize| {
            let Detection { corners, score, class } = found[*other];
            class == classes[index]
                && (f64::from(score) - scores[index]).abs() < 2e-3
                && overlap(corners.map(f64::from), boxes[index]) > 0.99
        };
        if let Some(other) = free.iter().copied().find(is_same) {
            free.remove(&other);
            matched += 1;
        }
    }
    println!("{name}: {matched} of {} matched", boxes.len());
    assert!(found.len() == boxes.len() && matched * 100 >= boxes.len() * 98, "{matched} of {}", boxes.len());
}

#[test]
fn fifty_layers_find_what_the_reference_finds() {
    large_equals_the_reference("r50");
}

#[test]
fn a_hundred_and_one_layers_find_what_the_reference_finds() {
    large_equals_the_reference("r101");
}

pub(crate) fn units() -> Value {
    golden::json("faster_rcnn/units/units.json")
}

/// Made-up numbers in -1 to 1.
pub(crate) fn made_up(name: &str, count: usize) -> Vec<f32> {
    let tensors = [(name.to_owned(), vec![count])];
    nn::made_up("made up", tensors, |_, _| (1.0, 0.0)).floats(name).unwrap()
}

pub(crate) fn singles<const N: usize>(value: &Value) -> Vec<[f32; N]> {
    golden::rows::<N>(value).into_iter().map(|row| row.map(|value| value as f32)).collect()
}

#[test]
fn pictures_are_resized_as_by_pillow() {
    let units = units();
    for case in units["output_size"].as_array().unwrap() {
        let side = |name: &str| case[name].as_u64().unwrap() as usize;
        let found = preparing::output_size([side("width"), side("height")], side("short"), side("longest"));
        assert_eq!(found, [side("out_width"), side("out_height")]);
    }
    for case in units["resize"].as_array().unwrap() {
        let [height, width] = golden::indices(&case["picture"]).try_into().unwrap();
        let levels = made_up("unit.picture", height * width * 3).into_iter();
        let levels = levels.map(|value| ((f64::from(value) + 1.0) * 128.0).floor() as u8).collect();
        let picture = RgbImage::from_raw(width as u32, height as u32, levels).unwrap();
        let [height, width] = golden::indices(&case["to"]).try_into().unwrap();
        let found = picture::resize::bilinear(&picture, width as u32, height as u32);
        let found: Vec<usize> = found.as_raw().iter().map(|level| usize::from(*level)).collect();
        assert_eq!(found, golden::indices(&case["pixels"]), "{}", case["to"]);
    }
}

#[test]
fn anchors_and_levels_are_those_of_the_reference() {
    let units = units();
    let case = &units["anchors"];
    let anchors = Anchors::new(&identity("r50").config.anchors);
    for (level, grid) in golden::rows::<2>(&case["grids"]).into_iter().enumerate() {
        let columns = grid[1] as usize;
        let all = (0..grid[0] as usize * columns * 3).flat_map(|index| anchors.at(level, columns, index));
        let found: Vec<f64> = all.map(f64::from).collect();
        golden::close("anchors", &found, &golden::numbers(&case["per_level"][level]), 1e-4);
    }
    let case = &units["roi_level"];
    let levels: Vec<usize> = singles(&case["boxes"]).into_iter().map(|corners| roi_align::level(corners) + 2).collect();
    assert_eq!(levels, golden::indices(&case["levels"]));
}

#[test]
fn boxes_are_coded_as_by_the_reference() {
    let units = units();
    let case = &units["box_coder"];
    let [boxes, targets, deltas] = ["boxes", "targets", "deltas"].map(|name| singles::<4>(&case[name]));
    for name in ["rpn", "roi"] {
        let answer = &case[name];
        let weights = singles::<4>(&answer["weights"])[0];
        let scale = answer["decoded_from_deltas_times"].as_f64().unwrap() as f32;
        let numbers = |value: f32, expected: f64| {
            assert!((f64::from(value) - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{value} {expected}");
        };
        let (encoded, decoded) = (golden::numbers(&answer["encoded"]), golden::numbers(&answer["decoded"]));
        for index in 0..boxes.len() {
            let found = coder::encode(boxes[index], targets[index], weights);
            found.into_iter().zip(&encoded[4 * index..]).for_each(|(value, expected)| numbers(value, *expected));
            let found = decode(boxes[index], deltas[index].map(|value| value * scale), weights);
            found.into_iter().zip(&decoded[4 * index..]).for_each(|(value, expected)| numbers(value, *expected));
        }
    }
}

#[test]
fn regions_are_aligned_as_by_the_reference() {
    let units = units();
    let case = &units["roi_align"];
    let [_, channels, height, width] = golden::indices(&case["feature"]["shape"]).try_into().unwrap();
    let feature = made_up("unit.roi_align.feature", channels * height * width);
    let place = |index: usize| feature[index % channels * height * width + index / channels];
    let values: Vec<f32> = (0..feature.len()).map(place).collect();
    let scale = case["scale"].as_f64().unwrap() as f32;
    let map = Map { values: &values, height, width, channels, scale };
    // All of them out of this map.
    let aligned = roi_align::of_picture(&[map; roi_align::POOLED_LEVELS], &singles(&case["boxes"]));
    let expected = golden::doubles(&golden::array("faster_rcnn/units/roi_align"));
    golden::close("roi_align", &golden::doubles(&aligned), &expected, 1e-5);
}

fn size(value: &Value) -> [f32; 2] {
    let [height, width] = golden::indices(value).try_into().unwrap();
    [width, height].map(|side: usize| side as f32)
}

#[test]
fn regions_are_chosen_as_by_the_reference() {
    let units = units();
    let case = &units["proposals"];
    let corner = |value: &Value| value.as_f64().map_or(f32::NAN, |value| value as f32);
    let level = |(boxes, logits): (&Value, &Value)| {
        let boxes = boxes.as_array().unwrap().iter().zip(logits.as_array().unwrap());
        let region = |(corners, logit): (&Value, &Value)| Region {
            corners: [0, 1, 2, 3].map(|index| corner(&corners[index])),
            logit: corner(logit),
        };
        boxes.map(region).collect()
    };
    let levels = case["boxes_per_level"].as_array().unwrap().iter().zip(case["logits_per_level"].as_array().unwrap());
    let selection = Selection { before: 100, after: 4, overlap: 0.7, least_side: 0.0 };
    let found = regions::choose(levels.map(level).collect(), size(&case["image"]), selection);
    let corners: Vec<[f32; 4]> = found.iter().map(|region| region.corners).collect();
    assert_eq!(corners, singles(&case["kept_boxes"]));
    let logits: Vec<[f32; 1]> = found.iter().map(|region| [region.logit]).collect();
    assert_eq!(logits, singles(&case["kept_logits"]));
    assert_eq!(regions::best(&[1.0, 3.0, 2.0, 3.0], 3), [1, 3, 2]);
    assert_eq!(regions::best(&[1.0, 3.0], 3), [1, 0]);
}

#[test]
fn detections_are_chosen_as_by_the_reference() {
    let units = units();
    let case = &units["detections"];
    let probabilities: Vec<Vec<f32>> = singles::<3>(&case["probabilities"]).into_iter().map(Vec::from).collect();
    let boxes: Vec<Vec<[f32; 4]>> =
        singles::<8>(&case["boxes"]).iter().map(|corners| corners.as_chunks().0.to_vec()).collect();
    let detecting = config::Detecting { score: 0.05, overlap: 0.5, most: 100 };
    let found = detecting::choose(&probabilities, &boxes, size(&case["image"]), detecting);
    let detections: Vec<Detection> = found.iter().map(|found| found.detection).collect();
    detections_are(&detections, &case["kept"]);
    let from: Vec<usize> = found.iter().map(|found| found.region).collect();
    assert_eq!(from, golden::indices(&case["kept"]["region"]));
    let sides = |value: &Value| size(value).map(|side| side as usize);
    let (from, to) = (sides(&case["image"]), sides(&case["rescaled_to"]));
    let rescaled: Vec<Detection> =
        detections.iter().filter_map(|detection| detecting::rescaled(*detection, from, to)).collect();
    detections_are(&rescaled, &case["rescaled"]);
}

#[test]
fn a_checkpoint_tells_the_form_of_its_network() {
    for name in ["small", "r50", "r101"] {
        let Identity { config, checkpoint } = identity(name);
        for prefix in ["", "model.", "model.module."] {
            let tensors = checkpoint.tensors().clone().into_iter();
            let tensors = tensors.map(|(name, stored)| (format!("{prefix}{name}"), stored));
            let found = identify(&Checkpoint::computed("model.pth", tensors), None).unwrap();
            assert_eq!(found.config.form, config.form, "{name}");
        }
    }
    let mut tensors = identity("small").checkpoint.tensors().clone();
    tensors.remove("backbone.fpn_output3.bias");
    let error = identify(&Checkpoint::computed("model.pth", tensors), None).unwrap_err().to_string();
    assert!(
        error.starts_with("model.pth is no checkpoint of Faster R-CNN on Layers18 with 5 classes: 1 of"),
        "{error}"
    );
    assert!(error.contains("backbone.fpn_output3.bias"), "{error}");
}

#[test]
fn weights_that_are_no_numbers_are_an_error_and_a_picture_of_a_line_is_none() {
    let Identity { config, checkpoint } = identity("small");
    let network = FasterRcnn::load(&Identity { config: config.clone(), checkpoint: checkpoint.clone() }, Device::Cpu);
    let network = network.unwrap();
    assert_eq!(network.detect(&RgbImage::new(0, 3)).unwrap(), []);
    assert!(network.detect(&RgbImage::new(400, 1)).is_ok());
    for name in ["proposal_generator.rpn_head.conv.bias", "roi_heads.box_predictor.cls_score.bias"] {
        let mut tensors = checkpoint.tensors().clone();
        let shape = tensors[name].shape().to_vec();
        let count = shape[0];
        let nan = nn::checkpoint::StoredTensor::computed(shape, move || vec![f32::NAN; count]);
        tensors.insert(name.to_owned(), nan);
        let damaged = identify(&Checkpoint::computed("damaged.pth", tensors), Some(config.clone())).unwrap();
        let network = FasterRcnn::load(&damaged, Device::Cpu).unwrap();
        assert!(matches!(network.detect(&small_input()), Err(VisionError::NotFinite)), "{name}");
    }
}
