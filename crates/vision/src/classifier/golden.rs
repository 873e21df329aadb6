//! The network and its inputs against the reference code (fastai 1.0.39 on PyTorch 1.0.0, float32, CPU), on made-up weights.

use burn::tensor::{DType, FloatDType, TensorData};
use nn::checkpoint::Checkpoint;
use nn::{Device, weights};
use picture::RgbImage;
use serde_json::Value;

use super::*;
use crate::golden::{self, close, doubles, indices, json, numbers};

fn picture(name: &str) -> RgbImage {
    golden::picture(&format!("classifier/{name}"))
}

/// A checkpoint with the made-up weights of a list of tensors.
fn checkpoint(list: &str, body: Body, classes: usize) -> Checkpoint {
    golden::made_up_of(&format!("classifier/tensors_{list}.json"), 0, body.name(), tensors(body, classes))
}

/// Normalized, `(1, size, size, 3)`.
fn input(pixels: &Pixels) -> Tensor<4> {
    let channels = pixels.values.iter().zip((0..3).cycle());
    let values = channels.map(|(value, channel)| (value - IMAGENET_MEANS[channel]) / IMAGENET_DEVIATIONS[channel]);
    let shape = [1, pixels.height, pixels.width, 3];
    Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), (&Device::Cpu.burn(), DType::F32))
}

/// Compares with samples of an array `(channels, height, width)`, or of a vector: every `strides`-th element of each dimension, and
/// of those every `step`-th.
#[track_caller]
fn sampled(what: &str, found: &[f32], answer: &Value, tolerance: f64) {
    let (shape, strides) = (indices(&answer["shape"]), indices(&answer["strides"]));
    let mut places = vec![0];
    for (length, stride) in shape.iter().zip(strides) {
        let along = |place: usize| (0..*length).step_by(stride).map(move |index| place * length + index);
        places = places.into_iter().flat_map(along).collect();
    }
    assert_eq!(found.len(), shape.iter().product::<usize>(), "{what}");
    let step = answer["step"].as_u64().unwrap() as usize;
    let samples: Vec<f32> = places.into_iter().step_by(step).map(|place| found[place]).collect();
    close(what, &doubles(&samples), &numbers(&answer["values"]), tolerance);
}

/// `(channels, height, width)` from `(height, width, channels)`.
fn channels_first(pixels: &Pixels) -> Vec<f32> {
    (0..3).flat_map(|channel| pixels.values.iter().skip(channel).step_by(3)).copied().collect()
}

fn flat<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec_as().unwrap()
}

fn equals_the_reference(case: &str, list: &str, body: Body, classes: usize) {
    let answer = json(&format!("classifier/{case}.json"));
    let size = answer["size"].as_u64().unwrap() as usize;
    let pixels = Transform::default().apply(&picture(answer["image"].as_str().unwrap()), size);
    sampled(&format!("{case}: pixels"), &channels_first(&pixels), &answer["pixels"], 1e-4);
    let checkpoint = checkpoint(list, body, classes);
    for execution in [Execution::Kernels, Execution::Burn] {
        let load = |weights: &weights::Weights| Network::load(&Loader::new(weights, execution), body, classes);
        let network = weights::load(&checkpoint, &Device::Cpu.burn(), FloatDType::F32, load).unwrap();
        let Layers::Fastai(head) = &network.classifier else { panic!("another head") };
        let maps = network.body.resnet().features(execution.arrange(input(&pixels)));
        let pooled = network.features(input(&pixels));
        let (linear, logits) = (head.linear(pooled.clone()), network.logits(pooled.clone()));
        for (module, maps) in (3..).zip(maps) {
            let maps = execution.channels_innermost(maps).permute([0, 3, 1, 2]);
            let name = format!("feature_{module}");
            sampled(&format!("{case}: {name}"), &flat(&maps), &answer[&name], 2e-3);
        }
        sampled(&format!("{case}: pooled"), &flat(&pooled), &answer["pooled"], 2e-3);
        sampled(&format!("{case}: linear1"), &flat(&linear), &answer["linear1"], 2e-3);
        sampled(&format!("{case}: logits"), &flat(&logits), &answer["logits"], 1e-3);
    }
}

#[test]
fn resnet18_equals_the_reference() {
    equals_the_reference("small_a", "small", Body::ResNet18, 5);
}

#[test]
fn resnet34_equals_the_reference() {
    equals_the_reference("resnet34_a", "resnet34", Body::ResNet34, 37);
}

fn transform(parameters: &Value) -> Transform {
    let number = |name: &str, parameter: &str, default: f64| {
        parameters[name].get(parameter).map_or(default, |value| value.as_f64().unwrap())
    };
    let one = |name: &str, parameter: &str| parameters.get(name).map(|values| values[parameter].as_f64().unwrap());
    let place = |name: &str| [number(name, "row_pct", 0.5), number(name, "col_pct", 0.5)];
    let warp = parameters.get("warp").map(|values| numbers(&values["magnitude"]).try_into().unwrap());
    Transform {
        flip: parameters.get("flip").is_some(),
        warp,
        rotate: one("rotate", "degrees"),
        zoom: one("zoom", "scale").map(|scale| Zoom { scale, place: place("zoom") }),
        brightness: one("brightness", "change"),
        contrast: one("contrast", "scale"),
        crop: place("crop"),
    }
}

#[test]
fn transforms_equal_the_reference() {
    let input = picture("transforms_input.png");
    let cases = json("classifier/transforms.json");
    assert_eq!(cases.as_array().unwrap().len(), 13);
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let size = case["size"].as_u64().unwrap() as usize;
        let pixels = transform(&case["transforms"]).apply(&input, size);
        assert_eq!([3, pixels.height, pixels.width], *indices(&case["shape"]), "{name}");
        sampled(name, &channels_first(&pixels), case, 1e-4);
        if ["all", "down_strong"].contains(&name) {
            let answer = picture(&format!("transforms_{name}.png"));
            let levels = pixels.values.iter().map(|value| (value * 255.0 + 0.5).floor() as i32);
            let off: Vec<i32> = levels.zip(answer.as_raw()).map(|(a, b)| (a - i32::from(*b)).abs()).collect();
            assert!(off.iter().all(|levels| *levels <= 1), "{name}");
            let share = off.iter().sum::<i32>() as f64 / off.len() as f64;
            assert!(share <= 0.005, "{name}: {share} of the values are a level off");
        }
    }
}
