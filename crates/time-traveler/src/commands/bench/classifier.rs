//! `bench classifier`: the class of a picture, with made-up weights.

use std::hint::black_box;

use clap::Args;
use nn::DeviceChoice;
use serde_json::json;
use vision::classifier::{Body, Classifier, Description, identify, tensors};

use super::measurement::{median, report};
use crate::choice::Choice;
use crate::pictures::sample;

/// The classes of the Oxford-IIIT pets.
const CLASSES: usize = 37;

#[derive(Debug, Args)]
pub(crate) struct BenchClassifier {
    /// The network's body
    #[arg(long, value_name = "NAME", default_value_t = Body::ResNet34)]
    body: Body,
    /// Width and height of its inputs in pixels
    #[arg(long, value_name = "N", default_value_t = 224, value_parser = clap::value_parser!(u16).range(32..=1024))]
    size: u16,
    /// What the network computes on
    #[arg(long, value_name = "auto|cpu|cuda", default_value = "auto", hide_possible_values = true,
        value_parser = Choice::<DeviceChoice>::of(&["auto", "cpu", "cuda"]))]
    device: DeviceChoice,
    /// Number of runs of each measurement; the median of their times is reported
    #[arg(long, value_name = "N", default_value_t = 31, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(bench: &BenchClassifier) -> anyhow::Result<()> {
    let weights = nn::made_up("made-up weights", tensors(bench.body, CLASSES), spread);
    let names = (1..=CLASSES).map(|number| number.to_string()).collect();
    let description = Description::of_imagenet(names, usize::from(bench.size));
    let classifier = Classifier::load(&identify(&weights)?, description, bench.device.find()?)?;
    let (_, photo) = sample::photo_or_sample(None)?;
    let input = || classifier.description().input(&photo);
    let pixels = input();
    // An error would be found by this first run.
    classifier.classify(&[&pixels])?;
    let runs = usize::from(bench.runs);
    let times = [
        ("classify", median(runs, || drop(black_box(classifier.classify(&[&pixels]))))),
        ("input", median(runs, || drop(black_box(input())))),
    ];
    report(bench.json, runs, &times, &[("body", json!(bench.body.name()))])
}

/// Scale and shift of made-up weights, with which values keep their magnitude from layer to layer.
fn spread(name: &str, shape: &[usize]) -> (f64, f64) {
    match shape {
        [_, inputs @ ..] if !inputs.is_empty() => (1.4 / (inputs.iter().product::<usize>() as f64).sqrt(), 0.0),
        _ if name.ends_with("weight") || name.ends_with("running_var") => (0.3, 1.0),
        _ => (0.2, 0.0),
    }
}
