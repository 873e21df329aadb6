//! The network against TensorFlow 1.15.5, on made-up weights. `tests/golden/README.md` documents the figures.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use nn::Device;
use nn::checkpoint::{Checkpoint, Format, save};
use picture::lanczos;
use serde_json::Value;

use super::detections::decode;
use super::*;
use crate::golden::{self, array, close, doubles, indices, json, picture};

/// The greatest differences.
const VALUES: f64 = 1e-3;
const ANCHORS: f64 = 1e-6;
const BOXES: f64 = 1e-4;
const DETECTIONS: f64 = 1e-3;

fn config(name: &str) -> Config {
    Config::parse(&String::from_utf8(golden::bytes(&format!("ssd/{name}"))).unwrap()).unwrap()
}

/// TensorFlow's variables with made-up values.
fn variables(size: &str, config: &Config) -> Checkpoint {
    golden::made_up_of(&format!("ssd/{size}/tensors.json"), 0, "SSD", tensors(config))
}

/// The values of a variable, little-endian.
fn values(folder: &Path, variables: &Checkpoint) -> (Vec<u8>, safetensors_header::Places) {
    let file = folder.join("variables.safetensors");
    save(variables, None, &file, &mut |_, _| ()).unwrap();
    let bytes = std::fs::read(file).unwrap();
    let places = safetensors_header::places(&bytes);
    (bytes, places)
}

mod safetensors_header {
    use std::collections::BTreeMap;
    use std::ops::Range;

    use serde_json::Value;

    pub(super) type Places = BTreeMap<String, Range<usize>>;

    /// Where the values of each tensor are in a file.
    pub(super) fn places(file: &[u8]) -> Places {
        let header = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
        let names: Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
        let place = |(name, info): (&String, &Value)| {
            let offsets = crate::golden::indices(info.get("data_offsets")?);
            Some((name.clone(), 8 + header + offsets[0]..8 + header + offsets[1]))
        };
        names.as_object().unwrap().iter().filter_map(place).collect()
    }
}

/// The frozen graph that TensorFlow wrote: the repository has it with zeros in the place of the made-up values.
fn frozen_graph(folder: &Path, variables: &Checkpoint) -> Checkpoint {
    let mut graph = Vec::new();
    let compressed = golden::bytes("ssd/small/frozen_inference_graph.pb.gz");
    GzDecoder::new(&compressed[..]).read_to_end(&mut graph).unwrap();
    let (bytes, places) = values(folder, variables);
    let offsets = json("ssd/small/frozen_offsets.json");
    for (name, offset) in offsets.as_object().unwrap() {
        let values = &bytes[places[name].clone()];
        graph[offset.as_u64().unwrap() as usize..][..values.len()].copy_from_slice(values);
    }
    let file = folder.join("frozen_inference_graph.pb");
    std::fs::write(&file, graph).unwrap();
    Checkpoint::open(&file).unwrap()
}

/// The checkpoint that TensorFlow wrote: its index is TensorFlow's own, and its data file has the variables in the order of their names.
fn tensorflow_checkpoint(folder: &Path, variables: &Checkpoint) -> Checkpoint {
    let index = folder.join("model.ckpt-100.index");
    std::fs::write(&index, golden::bytes("ssd/small/model.ckpt-100.index")).unwrap();
    let (bytes, places) = values(folder, variables);
    // `global_step` comes between the variables of the predictors and of the extractor, and has eight bytes.
    let mut data = Vec::new();
    for (name, place) in &places {
        data.extend_from_slice(&bytes[place.clone()]);
        assert!(name.as_str() < "global_step");
    }
    data.extend(100_u64.to_le_bytes());
    std::fs::write(folder.join("model.ckpt-100.data-00000-of-00001"), data).unwrap();
    Checkpoint::open(&index).unwrap()
}

fn detector(checkpoint: &Checkpoint, config: Config) -> Detector {
    Detector::load(&identify(checkpoint, config).unwrap(), Device::Cpu).unwrap()
}

/// Every so many elements of an array along each dimension, as a case's file says.
fn taken(values: &[f32], case: &Value, name: &str) -> Vec<f32> {
    let (of, text) = (indices(&case["files"][name]["of"]), case["files"][name]["taken"].as_str().unwrap());
    let mut steps: Vec<usize> = text
        .trim_matches(['[', ']'])
        .split(',')
        .filter_map(|part| part.trim().strip_prefix("::")?.parse().ok())
        .collect();
    steps.resize(of.len(), 1);
    let mut kept = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let mut rest = index;
        let mut is_kept = true;
        for (extent, step) in of.iter().zip(&steps).rev() {
            is_kept &= (rest % extent).is_multiple_of(*step);
            rest /= extent;
        }
        if is_kept {
            kept.push(*value);
        }
    }
    kept
}

fn equals_tensorflow(detector: &Detector, case: &str, folder: &str) {
    let answer = json(&format!("ssd/{folder}/{case}/case.json"));
    let expected = |name: &str| array(&format!("ssd/{folder}/{case}/{name}"));
    let what = |name: &str| format!("{folder}/{case}: {name}");
    let compare = |name: &str, found: &[f32], tolerance: f64| {
        close(&what(name), &doubles(&taken(found, &answer, name)), &doubles(&expected(name)), tolerance);
    };
    let image_size = answer["image_size"].as_u64().unwrap() as u32;
    let original = picture(&format!("ssd/{}", answer["image"].as_str().unwrap()));
    let resized = lanczos(&original, image_size, image_size);
    let resized_u8 = golden::array_u8(&format!("ssd/{folder}/{case}/resized_u8"));
    let levels: Vec<f32> = resized.as_raw().iter().map(|value| f32::from(*value)).collect();
    let levels: Vec<u8> = taken(&levels, &answer, "resized_u8").into_iter().map(|value| value as u8).collect();
    assert!(levels == resized_u8, "{}", what("resized_u8"));

    let input = Input::of(&original, image_size, detector.config().picture);
    compare("preprocessed", &input.values, 1e-5);
    let pictures = detector.prepared(&input);
    let flat = |tensor: burn::tensor::Tensor<4>| -> Vec<f32> { tensor.into_data().try_into_vec_as().unwrap() };
    for (level, maps) in detector.network().features(pictures.clone()).into_iter().enumerate() {
        let name = format!("feature_{level}");
        if answer["files"].get(&name).is_some() && golden::exists(&format!("ssd/{folder}/{case}/{name}.npy")) {
            compare(&name, &flat(detector.network().execution().channels_innermost(maps)), VALUES);
        }
    }
    let outputs = detector.network().forward(pictures, detector.config().classes);
    let encodings: Vec<f32> = outputs.boxes.into_data().try_into_vec_as().unwrap();
    let logits: Vec<f32> = outputs.classes.into_data().try_into_vec_as().unwrap();
    compare("box_encodings", &encodings, VALUES);
    compare("class_logits", &logits, VALUES);
    close(
        &what("anchors"),
        &doubles(detector.anchors().as_flattened()),
        &doubles(&array(&format!("ssd/{folder}/anchors"))),
        ANCHORS,
    );
    if golden::exists(&format!("ssd/{folder}/{case}/decoded_boxes.npy")) {
        let boxes = detector.anchors().iter().zip(encodings.as_chunks::<4>().0);
        let decoded = boxes.flat_map(|(anchor, encoding)| decode(*anchor, *encoding, detector.config().box_scales));
        compare("decoded_boxes", &decoded.collect::<Vec<f32>>(), BOXES);
    }

    let found = &detector.detect(&[&input]).unwrap()[0];
    assert_eq!(found.len() as u64, answer["num_detections"].as_u64().unwrap(), "{}", what("detections"));
    let scores: Vec<f32> = found.iter().map(|detection| detection.score).collect();
    close(&what("scores"), &doubles(&scores), &doubles(&expected("detection_scores")[..found.len()]), DETECTIONS);
    // Of neighbours whose scores differ by less than the arithmetic, either can be the first.
    let boxes = expected("detection_boxes");
    let (boxes, classes) = (boxes.as_chunks::<4>().0, expected("detection_classes"));
    for (index, detection) in found.iter().enumerate() {
        let [left, top, right, bottom] = detection.corners;
        let is_same = |other: &usize| {
            let near = boxes[*other].iter().zip([top, left, bottom, right]);
            near.into_iter().all(|(one, other)| f64::from((one - other).abs()) <= DETECTIONS)
                && classes[*other] as usize == detection.class + 1
        };
        let neighbours = index.saturating_sub(1)..(index + 2).min(found.len());
        assert!(neighbours.clone().any(|other| is_same(&other)), "{}: {index}, {detection:?}", what("detections"));
    }
}

#[test]
fn the_small_network_equals_tensorflow() {
    let config = config("small/pipeline.config");
    let detector = detector(&variables("small", &config), config);
    equals_tensorflow(&detector, "a96", "small");
    equals_tensorflow(&detector, "a300", "small");
}

#[test]
fn the_full_network_equals_tensorflow() {
    let config = config("full/pipeline.config");
    let detector = detector(&variables("full", &config), config);
    equals_tensorflow(&detector, "a300", "full");
}

#[test]
fn the_kernels_equal_burn() {
    let config = config("small/pipeline.config");
    let identity = identify(&variables("small", &config), config).unwrap();
    let [fast, reference] =
        [Detector::load, Detector::load_reference].map(|load| load(&identity, Device::Cpu).unwrap());
    let input = Input::of(&picture("ssd/b.png"), 96, [96, 96]);
    let values = [fast, reference].map(|detector| {
        let outputs = detector.network().forward(detector.prepared(&input), 5);
        doubles(&outputs.classes.into_data().try_into_vec_as::<f32>().unwrap())
    });
    close("logits", &values[0], &values[1], 1e-4);
}

#[test]
fn pictures_computed_together_are_as_alone() {
    let config = config("small/pipeline.config");
    let detector = detector(&variables("small", &config), config);
    let inputs = ["a", "b"].map(|name| Input::of(&picture(&format!("ssd/{name}.png")), 300, [96, 96]));
    let alone = inputs.each_ref().map(|input| detector.detect(&[input]).unwrap().remove(0));
    assert_eq!(detector.detect(&[&inputs[0], &inputs[1]]).unwrap(), alone);
    assert_ne!(alone[0], alone[1]);
    assert!(detector.detect(&[]).unwrap().is_empty());
}

#[test]
fn every_file_of_a_model_gives_the_same_answers() {
    let config = config("small/pipeline.config");
    let variables = variables("small", &config);
    let folder = tempfile::tempdir().unwrap();
    let graph = frozen_graph(folder.path(), &variables);
    let tensorflow = tensorflow_checkpoint(folder.path(), &variables);
    let safetensors = Checkpoint::open(&folder.path().join("variables.safetensors")).unwrap();
    assert_eq!(
        [&graph, &tensorflow, &safetensors].map(Checkpoint::format),
        [Format::TensorFlowGraph, Format::TensorFlowCheckpoint, Format::Safetensors]
    );
    assert_eq!(tensorflow.tensors().len(), 325);
    let input = Input::of(&picture("ssd/a.png"), 300, [96, 96]);
    let expected = detector(&variables, config.clone()).detect(&[&input]).unwrap();
    for checkpoint in [graph, tensorflow, safetensors] {
        let found = detector(&checkpoint, config.clone()).detect(&[&input]).unwrap();
        assert_eq!(found, expected, "{}", checkpoint.format());
        // Layers become variables again.
        let again = as_variables(identify(&checkpoint, config.clone()).unwrap().layers());
        let shapes = |checkpoint: &Checkpoint| {
            let tensors = checkpoint.tensors().iter().filter(|(name, _)| variables.tensors().contains_key(*name));
            tensors.map(|(name, stored)| (name.clone(), stored.shape().to_vec())).collect::<Vec<_>>()
        };
        assert_eq!(shapes(&again), shapes(&variables));
        assert_eq!(detector(&again, config.clone()).detect(&[&input]).unwrap(), expected);
    }
}

#[test]
fn mobile_net_v1_has_the_variables_of_tensorflow() {
    let mut config = config("small/pipeline.config");
    config.extractor.backbone = Backbone::MobileNetV1;
    config.extractor.depth_multiplier = 1.0;
    let all = tensors(&config);
    let shape = |name: &str| all.iter().find(|(known, _)| known == name).map(|(_, shape)| shape.clone());
    let scope = "FeatureExtractor/MobilenetV1";
    assert_eq!(shape(&format!("{scope}/Conv2d_0/weights")), Some(vec![3, 3, 3, 32]));
    assert_eq!(shape(&format!("{scope}/Conv2d_11_depthwise/depthwise_weights")), Some(vec![3, 3, 512, 1]));
    assert_eq!(shape(&format!("{scope}/Conv2d_13_pointwise/BatchNorm/gamma")), Some(vec![1024]));
    let extra = format!("{scope}/Conv2d_13_pointwise_2_Conv2d_5_3x3_s2_128/weights");
    assert_eq!(shape(&extra), Some(vec![3, 3, 64, 128]));
    assert_eq!(shape("BoxPredictor_0/ClassPredictor/weights"), Some(vec![1, 1, 512, 18]));
    let made_up =
        nn::made_up("made up", all, |name, _| if name.ends_with("variance") { (0.1, 1.0) } else { (0.1, 0.0) });
    let input = Input::of(&picture("ssd/a.png"), 96, [96, 96]);
    let found = detector(&made_up, config).detect(&[&input]).unwrap();
    assert_eq!(found[0].len(), 100);
}

#[test]
fn another_network_is_refused_under_the_names_of_tensorflow() {
    let config = config("small/pipeline.config");
    let checkpoint = variables("small", &config);
    let message = identify(&checkpoint, Config { classes: 7, ..config }).unwrap_err().to_string();
    assert!(message.contains("is no checkpoint of SSD on MobileNetV2: 12 of 324 tensors do not fit"), "{message}");
    assert!(message.contains("BoxPredictor_0/ClassPredictor/weights"), "{message}");
    assert!(message.contains("[1, 1, 144, 24]") && message.contains("[1, 1, 144, 18]"), "{message}");
}
