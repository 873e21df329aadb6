//! `bench objects`: the objects of a picture, by a network.

use std::hint::black_box;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::bail;
use clap::Args;
use container::handlers::faster_rcnn::model_files;
use container::handlers::ssd::ModelFiles;
use container::{ModelKind, model_folder};
use image::imageops::{self, FilterType};
use nn::{Device, DeviceChoice, made_up};
use picture::RgbImage;
use serde_json::{Map, Value, json};
use vision::VisionError;
use vision::backbone::Depth;
use vision::faster_rcnn::{self, FasterRcnn};
use vision::ssd::{self, Detector, Input};

use super::measurement::{measured, report};
use super::size::Size;
use crate::choice::Choice;
use crate::escape::Shown;
use crate::memory;
use crate::pictures::sample;

/// The SSD of TensorFlow's model zoo, for COCO.
const SSD: &str = "model { ssd {
    num_classes: 90
    image_resizer { fixed_shape_resizer { height: 300 width: 300 } }
    feature_extractor { type: 'ssd_mobilenet_v2' }
    anchor_generator { ssd_anchor_generator {
        aspect_ratios: 1.0 aspect_ratios: 2.0 aspect_ratios: 0.5 aspect_ratios: 3.0 aspect_ratios: 0.3333
    } }
    box_coder { faster_rcnn_box_coder { } }
    box_predictor { convolutional_box_predictor { kernel_size: 1 } }
    post_processing {
        batch_non_max_suppression { score_threshold: 1e-8 iou_threshold: 0.6 }
        score_converter: SIGMOID
    }
} }";
/// The side of the squares that SSD's pictures are resized to, in pixels.
const IMAGE_SIZE: u32 = 300;
/// The classes of COCO as Detectron2 counts them.
const CLASSES: usize = 80;
/// The size that Detectron2 resizes photographs of four by three to.
const OF_FASTER_RCNN: Size = Size { width: 1067, height: 800 };

#[derive(Debug, Args)]
pub(crate) struct BenchObjects {
    /// A photo to search; without one, the built-in portrait
    photo: Option<PathBuf>,
    /// The network, with made-up weights
    #[arg(long, value_name = "NAME", default_value = "ssd-mobilenet-v2",
        value_parser = Choice::<Network>::of(&["ssd-mobilenet-v2", "faster-rcnn-r50", "faster-rcnn-r101"]))]
    network: Network,
    /// A folder of an SSD or a Faster R-CNN, in place of made-up weights
    #[arg(long, value_name = "DIR", conflicts_with = "network")]
    model: Option<PathBuf>,
    /// Width and height that the photo is resized to first [default: what the network takes]
    #[arg(long, value_name = "WxH")]
    size: Option<Size>,
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
enum Network {
    Ssd,
    FasterRcnn(Depth),
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ssd-mobilenet-v2" => Ok(Self::Ssd),
            "faster-rcnn-r50" => Ok(Self::FasterRcnn(Depth::Layers50)),
            "faster-rcnn-r101" => Ok(Self::FasterRcnn(Depth::Layers101)),
            _ => Err("ssd-mobilenet-v2, faster-rcnn-r50 and faster-rcnn-r101 work".to_owned()),
        }
    }
}

/// An SSD, and the side of the square that pictures are resized to first, in pixels.
#[derive(Debug)]
struct Ssd {
    detector: Detector,
    image_size: u32,
}

impl Ssd {
    fn input(&self, picture: &RgbImage) -> Input {
        Input::of(picture, self.image_size, self.detector.config().picture)
    }
}

/// A network that finds objects.
#[derive(Debug)]
enum Finder {
    Ssd(Box<Ssd>),
    FasterRcnn(Box<FasterRcnn>),
}

pub(crate) fn run(bench: &BenchObjects) -> anyhow::Result<()> {
    let finder = bench.finder(bench.device.find()?)?;
    let (_, photo) = sample::photo_or_sample(bench.photo.as_deref())?;
    let Size { width, height } = bench.size.unwrap_or_else(|| finder.size());
    let picture = match photo.dimensions() == (width, height) {
        true => photo,
        false => imageops::resize(&photo, width, height, FilterType::Triangle),
    };
    // An error would be found by this first run.
    let found = finder.find(&picture)?;
    let runs = usize::from(bench.runs);
    let mut measurements = vec![("detect", measured(runs, || drop(black_box(finder.find(&picture)))))];
    if let Finder::Ssd(ssd) = &finder {
        let input = ssd.input(&picture);
        measurements.push(("forward", measured(runs, || drop(black_box(ssd.detector.outputs(&[&input]))))));
    }
    let times: Vec<(&str, f64)> = measurements.iter().map(|(name, (time, _))| (*name, *time)).collect();
    let used: Map<String, Value> =
        measurements.iter().filter_map(|(name, (_, used))| Some(((*name).to_owned(), json!((*used)?)))).collect();
    let mut more =
        vec![("network", json!(finder.name())), ("size", json!([width, height])), ("detections", json!(found))];
    if !used.is_empty() {
        more.push(("processorMilliseconds", Value::Object(used)));
    }
    more.extend(memory::peak().map(|bytes| ("peakMemoryBytes", json!(bytes))));
    report(bench.json, runs, &times, &more)
}

impl BenchObjects {
    fn finder(&self, device: Device) -> anyhow::Result<Finder> {
        if let Some(folder) = &self.model {
            return match ModelKind::of_folder(folder)? {
                ModelKind::Ssd => {
                    let files = ModelFiles::open(folder)?;
                    Ok(Finder::ssd(files.load(device)?, files.image_size))
                }
                ModelKind::FasterRcnn => {
                    Ok(Finder::FasterRcnn(Box::new(FasterRcnn::load(&model_files(folder)?, device)?)))
                }
                _ => {
                    // A folder without a checkpoint, or with several, says so.
                    model_folder::checkpoint(folder)?;
                    bail!(
                        "the model {} is no SSD and no Faster R-CNN: a folder that `detect --model` finds objects with would work",
                        folder.shown()
                    )
                }
            };
        }
        let depth = match self.network {
            Network::FasterRcnn(depth) => depth,
            Network::Ssd => {
                let config = ssd::Config::parse(SSD)?;
                let weights = made_up("made-up weights", ssd::tensors(&config), of_ssd);
                return Ok(Finder::ssd(Detector::load(&ssd::identify(&weights, config)?, device)?, IMAGE_SIZE));
            }
        };
        let form = faster_rcnn::config::Form {
            depth,
            stride_in_1x1: true,
            channels: 256,
            shapes: 3,
            hidden: vec![1024; 2],
            classes: CLASSES,
        };
        let weights = made_up("made-up weights", faster_rcnn::tensors(&form), of_faster_rcnn);
        let config = faster_rcnn::Config::published(form);
        let network = FasterRcnn::load(&faster_rcnn::identify(&weights, Some(config))?, device)?;
        Ok(Finder::FasterRcnn(Box::new(network)))
    }
}

impl Finder {
    fn ssd(detector: Detector, image_size: u32) -> Self {
        Self::Ssd(Box::new(Ssd { detector, image_size }))
    }

    fn name(&self) -> String {
        match self {
            Self::Ssd(ssd) => ssd.detector.config().extractor.backbone.to_string(),
            Self::FasterRcnn(network) => format!("Faster R-CNN on {:?}", network.config().form.depth),
        }
    }

    fn size(&self) -> Size {
        match self {
            Self::Ssd(ssd) => Size { width: ssd.image_size, height: ssd.image_size },
            Self::FasterRcnn(_) => OF_FASTER_RCNN,
        }
    }

    /// The number of objects in a picture.
    fn find(&self, picture: &RgbImage) -> Result<usize, VisionError> {
        Ok(match self {
            Self::Ssd(ssd) => ssd.detector.detect(&[&ssd.input(picture)])?.iter().map(Vec::len).sum(),
            Self::FasterRcnn(network) => network.detect(picture)?.len(),
        })
    }
}

/// Scale and shift of made-up weights of the SSD, with which values keep their magnitude from layer to layer, and few scores are high.
fn of_ssd(name: &str, shape: &[usize]) -> (f64, f64) {
    let last = name.rsplit('/').next().unwrap_or_default();
    match (last, shape) {
        ("depthwise_weights", [height, width, ..]) => (2.25 / ((height * width) as f64).sqrt(), 0.0),
        (_, [height, width, inputs, _]) => {
            let size = if name.starts_with("BoxPredictor") { 1.3 } else { 2.1 };
            (size / ((height * width * inputs) as f64).sqrt(), 0.0)
        }
        ("gamma" | "moving_variance", _) => (0.3, 1.0),
        ("biases", _) if name.contains("ClassPredictor") => (0.5, -9.0),
        _ => (0.3, 0.0),
    }
}

/// The same of Faster R-CNN.
fn of_faster_rcnn(name: &str, shape: &[usize]) -> (f64, f64) {
    let ends = |end: &str| name.ends_with(end);
    match shape {
        [_, inputs @ ..] if !inputs.is_empty() => {
            let size = match () {
                () if ends("cls_score.weight") => 18.0,
                () if ends("fc2.weight") || ends("objectness_logits.weight") => 4.0,
                () if ends("bbox_pred.weight") => 3.0,
                () if ends("anchor_deltas.weight") || name.contains("fpn_output") => 0.8,
                () => 1.75,
            };
            (size / (inputs.iter().product::<usize>() as f64).sqrt(), 0.0)
        }
        // Pixels are larger than the values of other layers.
        _ if ends("stem.conv1.norm.running_var") => (1600.0, 5400.0),
        _ if ends("running_var") => (0.15, 0.5),
        // What a block adds to its inputs is small.
        _ if ends("conv3.norm.weight") => (0.05, 0.25),
        _ if ends("norm.weight") => (0.2, 1.0),
        _ if name.contains("box_head") => (0.1, -1.0),
        _ => (0.1, 0.0),
    }
}
