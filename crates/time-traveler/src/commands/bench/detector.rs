//! `bench detector`: the faces of a picture, by a network.

use std::hint::black_box;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use container::{heap, model_folder};
use image::imageops::{self, FilterType};
use nn::DeviceChoice;
use nn::checkpoint::Checkpoint;
use serde_json::json;
use vision::boxes::Thresholds;
use vision::{ColorOrder, FaceDetector, FaceNetwork};

use super::measurement::{measured, report};
use super::size::Size;
use crate::choice::Choice;
use crate::memory;
use crate::pictures::sample;

/// The networks under their names in `MODEL_NAME`.
const NETWORKS: [(&str, FaceNetwork); 3] = [
    ("RetinaNetResNet50", FaceNetwork::RetinaFaceResNet50),
    ("RetinaNetMobileNetV1", FaceNetwork::RetinaFaceMobileNetV1),
    ("DSFDDetector", FaceNetwork::Dsfd),
];
/// No score is above it: the scores of all priors are computed, and no face is chosen.
const NONE: Thresholds = Thresholds { confidence: 1.1, overlap: 0.3 };

#[derive(Debug, Args)]
pub(crate) struct BenchDetector {
    /// The network, with made-up weights
    #[arg(long, value_name = "NAME", default_value = "RetinaNetMobileNetV1",
        value_parser = Choice::<Network>::of(&["RetinaNetResNet50", "RetinaNetMobileNetV1", "DSFDDetector"]))]
    network: Network,
    /// A folder with a checkpoint, in place of made-up weights
    #[arg(long, value_name = "DIR", conflicts_with = "network")]
    model: Option<PathBuf>,
    /// Width and height of the picture in pixels
    #[arg(long, value_name = "WxH", default_value = "640x480")]
    size: Size,
    /// What the network computes on
    #[arg(long, value_name = "auto|cpu|cuda", default_value = "auto", hide_possible_values = true,
        value_parser = Choice::<DeviceChoice>::of(&["auto", "cpu", "cuda"]))]
    device: DeviceChoice,
    /// Number of runs of each measurement; the median of their times is reported
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug)]
struct Network(FaceNetwork);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = NETWORKS.iter().find(|(name, _)| *name == text);
        named
            .map(|(_, network)| Self(*network))
            .ok_or_else(|| format!("{} work", NETWORKS.map(|(name, _)| name).join(", ")))
    }
}

pub(crate) fn run(bench: &BenchDetector) -> anyhow::Result<()> {
    // The kernels' maps are not on this heap, and what the loading frees goes back to the system.
    heap::return_large_blocks();
    let checkpoint = match &bench.model {
        Some(folder) => Checkpoint::open(&model_folder::checkpoint(folder)?)?,
        None => nn::made_up("made-up weights", bench.network.0.tensors(), spread),
    };
    let detector = FaceDetector::load(&vision::identify(&checkpoint, None)?, bench.device.find()?)?;
    drop(checkpoint);
    let (_, photo) = sample::photo_or_sample(None)?;
    let picture = imageops::resize(&photo, bench.size.width, bench.size.height, FilterType::Triangle);
    // An error would be found by this first run.
    detector.detect(&picture, ColorOrder::Rgb, NONE)?;
    let runs = usize::from(bench.runs);
    let detect = measured(runs, || drop(black_box(detector.detect(&picture, ColorOrder::Rgb, NONE))));
    // Below, a copy of the picture is in memory all the time.
    let peak = memory::peak();
    let prepared = detector.prepare(&picture, ColorOrder::Rgb);
    let forward = measured(runs, || drop(black_box(detector.forward(prepared.clone()))));
    let network = NETWORKS.iter().find(|(_, network)| *network == detector.network()).map(|(name, _)| *name);
    let mut more = vec![("network", json!(network)), ("size", json!([bench.size.width, bench.size.height]))];
    if let (Some(detect), Some(forward)) = (detect.1, forward.1) {
        more.push(("processorMilliseconds", json!({"detect": detect, "forward": forward})));
    }
    more.extend(peak.map(|bytes| ("peakMemoryBytes", json!(bytes))));
    report(bench.json, runs, &[("detect", detect.0), ("forward", forward.0)], &more)
}

/// Scale and shift of made-up weights, with which values keep their magnitude from layer to layer.
fn spread(name: &str, shape: &[usize]) -> (f64, f64) {
    match shape {
        [_, inputs @ ..] if !inputs.is_empty() => (1.4 / (inputs.iter().product::<usize>() as f64).sqrt(), 0.0),
        _ if name.ends_with("weight") || name.ends_with("running_var") => (0.3, 1.0),
        _ => (0.2, 0.0),
    }
}
