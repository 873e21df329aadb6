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
    let tensors = weights::list(|weights| Network::load(&Loader::new(weights, Execution::Burn), body, classes));
    golden::made_up_of(&format!("classifier/tensors_{list}.json"), 0, body.name(), tensors)
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
        let Features { maps, pooled, linear, logits } = network.features(input(&pixels));
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
