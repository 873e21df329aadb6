use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use nn::Device;
use nn::checkpoint::Checkpoint;
use picture::RgbImage;
use serde_json::Value;
use vision::VisionError;
use vision::ssd::{Backbone, Config, Detector, Identity, Input, identify};

/// The folder of the exported files in a model folder. The files may also lie in the model folder itself.
const GRAPH: &str = "graph";
const CONFIG: &str = "pipeline.config";
/// The files that are looked for first, in this order.
const WEIGHTS: [&str; 2] = ["model.safetensors", "frozen_inference_graph.pb"];
const LABEL_MAP: &str = "label_map.pbtxt";
/// The hyperparameters of the training job, which say the size of pictures.
const HYPERPARAMETERS: &str = "hyperparameters.json";
/// The largest file of hyperparameters, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// The side of the square that pictures are resized to first, in pixels.
const IMAGE_SIZE: u32 = 300;
/// Its smallest and its largest value.
const IMAGE_SIZES: std::ops::RangeInclusive<u32> = 16..=4096;

/// Whether a folder is that of an SSD: it has a folder `graph`, or a `pipeline.config`.
pub fn is_model(folder: &Path) -> bool {
    folder.join(GRAPH).is_dir() || folder.join(CONFIG).is_file()
}

/// The files of a model folder: `pipeline.config`, a checkpoint, `hyperparameters.json` and `label_map.pbtxt`.
#[derive(Debug)]
pub struct ModelFiles {
    /// The configuration and the checkpoint. Its values are not read yet.
    pub identity: Identity,
    /// The side of the square that pictures are resized to first, in pixels.
    pub image_size: u32,
    /// The label map, if there is one.
    pub label_map: Option<PathBuf>,
}

impl ModelFiles {
    /// Identifies the files of a folder.
    ///
    /// # Errors
    /// A file is missing, or cannot be used.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let graph = folder.join(GRAPH);
        let folder = if graph.is_dir() { graph } else { folder.to_owned() };
        let file = folder.join(CONFIG);
        ensure!(
            file.is_file(),
            "the model folder {} has no {CONFIG}: the one that TensorFlow's exporter writes beside the graph would work",
            folder.display()
        );
        let config = Config::read(&file).with_context(|| format!("{} cannot be used", file.display()))?;
        let checkpoint = Checkpoint::open(&weights(&folder)?)?;
        let identity = identify(&checkpoint, config)?;
        let label_map = Some(folder.join(LABEL_MAP)).filter(|file| file.is_file());
        Ok(Self { identity, image_size: image_size(&folder)?, label_map })
    }

    /// The name of the network, as `feature_extractor` has it.
    pub fn name(&self) -> &'static str {
        match self.identity.config.extractor.backbone {
            Backbone::MobileNetV1 => "ssd_mobilenet_v1",
            Backbone::MobileNetV2 => "ssd_mobilenet_v2",
        }
    }

    /// Loads the network.
    ///
    /// # Errors
    /// The checkpoint is damaged, or the device failed.
    pub fn load(&self, device: Device) -> Result<Detector, VisionError> {
        Detector::load(&self.identity, device)
    }

    /// A picture as the network takes it.
    pub fn input(&self, picture: &RgbImage) -> Input {
        Input::of(picture, self.image_size, self.identity.config.picture)
    }
}

/// The checkpoint of a folder.
fn weights(folder: &Path) -> anyhow::Result<PathBuf> {
    if let Some(file) = WEIGHTS.iter().map(|name| folder.join(name)).find(|file| file.is_file()) {
        return Ok(file);
    }
    let mut indices = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("the folder {} cannot be read", folder.display()))? {
        let file = entry?.path();
        if file.extension().is_some_and(|ending| ending == "index") && file.is_file() {
            indices.push(file);
        }
    }
    indices.sort();
    match &mut indices[..] {
        [file] => Ok(std::mem::take(file)),
        [] => bail!(
            "the model folder {} has no checkpoint: {} or model.ckpt.index with its data file would work",
            folder.display(),
            WEIGHTS.join(", ")
        ),
        [first, second, ..] => bail!(
            "the model folder {} has several checkpoints ({}, {}): one of them would work",
            folder.display(),
            first.display(),
            second.display()
        ),
    }
}

/// What the hyperparameters say, or the service's default.
fn image_size(folder: &Path) -> anyhow::Result<u32> {
    let file = folder.join(HYPERPARAMETERS);
    if !file.is_file() {
        return Ok(IMAGE_SIZE);
    }
    let mut bytes = Vec::new();
    let opened = File::open(&file).with_context(|| format!("{} cannot be opened", file.display()))?;
    opened.take(MAX_BYTES).read_to_end(&mut bytes).with_context(|| format!("{} cannot be read", file.display()))?;
    let value: Value = serde_json::from_slice(&bytes).with_context(|| format!("{} is no JSON", file.display()))?;
    let size = &value["image_size"];
    // SageMaker's hyperparameters are texts.
    let number = match size {
        Value::Null => Some(u64::from(IMAGE_SIZE)),
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    let number = number.and_then(|number| u32::try_from(number).ok()).filter(|number| IMAGE_SIZES.contains(number));
    number.with_context(|| {
        let shown: String = size.to_string().chars().take(60).collect();
        format!("{} cannot be used: image_size is {shown}, and 16 to 4096 would work", file.display())
    })
}
