//! Object detection by Faster R-CNN: a picture in, the boxes, scores and classes of its objects out.

pub mod settings;
pub mod wire;

use std::path::Path;

use anyhow::{Context, bail};
use nn::checkpoint::Checkpoint;
use nn::{Device, Stages};
use picture::RgbImage;
use vision::VisionError;
use vision::faster_rcnn::config::Document;
use vision::faster_rcnn::{Config, Detection, FasterRcnn, Identity, identify};

pub use self::settings::Settings;
use self::wire::{Pictures, Request};
use crate::handler::{Answer, Failure, InferenceHandler, Work};
use crate::handlers::pictures;
use crate::head::Head;
use crate::log_line::{LogLine, log_invocation};
use crate::model_folder;
use crate::refusal::{Reason, Refusal};

/// The name of Detectron2's configuration in a model folder.
const CONFIG: &str = "config.yaml";
/// The name of the file with the names of classes, a line each in the order of their numbers. Training writes it, and pictures are drawn by it.
pub const LABELS: &str = "labels.txt";
/// Width and height of the picture that warms up a GPU, in pixels.
const WARM_UP: u32 = 64;

/// Identifies the files of a model folder: its checkpoint, and `config.yaml`. Without the latter, the layers follow from the
/// tensors, and the rest is that of the model zoo.
///
/// # Errors
/// There is no checkpoint or several, it is not that of a Faster R-CNN, or the configuration cannot be used.
pub fn model_files(folder: &Path) -> anyhow::Result<Identity> {
    let file = model_folder::checkpoint(folder)?;
    let checkpoint = Checkpoint::open(&file)?;
    let config = folder.join(CONFIG);
    let config = if config.is_file() {
        let mut document = Document::default();
        document.merge_file(&config)?;
        Some(Config::of(&document).with_context(|| format!("the configuration {} cannot be used", config.display()))?)
    } else {
        None
    };
    Ok(identify(&checkpoint, config)?)
}

/// Finds objects, with the network whose checkpoint the model folder has.
#[derive(Debug)]
pub struct ObjectDetection {
    settings: Settings,
    identity: Identity,
}

impl ObjectDetection {
    /// Identifies the files of the model folder. The values of the checkpoint are read later, by the worker.
    ///
    /// # Errors
    /// There is no model folder, or its files are not those of a Faster R-CNN.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let Some(folder) = &settings.model_dir else {
            bail!("there is no model folder: SM_MODEL_DIR names one with a checkpoint of a Faster R-CNN");
        };
        let mut identity = model_files(folder)?;
        let detecting = &mut identity.config.detecting;
        detecting.score = settings.score;
        detecting.overlap = settings.overlap.unwrap_or(detecting.overlap);
        Ok(Self { settings, identity })
    }
}

/// The pictures of an invocation, and the objects of those that are done.
#[derive(Debug)]
pub struct Searched {
    pictures: Pictures,
    found: Vec<Vec<Detection>>,
}

impl Work for Searched {
    fn is_done(&self) -> bool {
        self.found.len() == self.pictures.pictures.len()
    }

    fn restart(&mut self) {
        self.found.clear();
    }
}

impl InferenceHandler for ObjectDetection {
    const METRICS_PREFIX: &'static str = "objects";
    const MAX_REQUEST_BYTES: usize = 50 << 20;

    type Model = FasterRcnn;
    type Request = Request;
    type Payload = Vec<u8>;
    type Work = Searched;

    fn name(&self) -> &'static str {
        "faster-rcnn"
    }

    /// Pictures have many sizes, and large maps are computed one by one.
    fn batch_size(&self) -> usize {
        1
    }

    fn model(&self) -> anyhow::Result<FasterRcnn> {
        let network = FasterRcnn::load(&self.identity, self.settings.device.find()?)?;
        let form = &network.config().form;
        tracing::info!(depth = ?form.depth, classes = form.classes, device = %network.device(), "the model is loaded");
        if network.device() != Device::Cpu {
            let picture = RgbImage::new(WARM_UP, WARM_UP);
            network.detect(&picture).context("the model is loaded, but does not run")?;
        }
        Ok(network)
    }

    fn accept(&self, head: &Head) -> Result<Request, Refusal> {
        wire::request(head)
    }

    async fn fetch(&self, _: &Request, body: Vec<u8>, _: usize, _: &mut Stages) -> Result<Vec<u8>, Refusal> {
        Ok(body)
    }

    fn input(&self, request: &Request, body: Vec<u8>, stages: &mut Stages) -> Result<Searched, Refusal> {
        let pictures = stages.measure("decode", || wire::pictures(*request, &body))?;
        Ok(Searched { pictures, found: Vec::new() })
    }

    /// One picture of each invocation.
    fn predict(
        &self,
        network: &mut FasterRcnn,
        batch: &mut [&mut Searched],
        stages: &mut Stages,
    ) -> Result<(), Failure> {
        for work in batch {
            let Some(picture) = work.pictures.pictures.get(work.found.len()) else { continue };
            let found = stages.measure("detect", || network.detect(picture));
            work.found.push(found.map_err(|error| match error {
                VisionError::Device(_) => Failure::Device(error.into()),
                other => {
                    tracing::error!(error = %other, "the picture cannot be searched");
                    Failure::Request(self.refusal(&Reason::Failed))
                }
            })?);
        }
        Ok(())
    }

    fn output(&self, _: &Request, work: Searched, stages: &mut Stages) -> Result<Answer, Refusal> {
        Ok(stages.measure("encode", || wire::answer(&work.pictures, &work.found)))
    }

    fn computes_on_cpu(&self) -> bool {
        self.settings.device.is_cpu()
    }

    fn device_memory(&self, network: &FasterRcnn) -> Option<u64> {
        network.device().memory()
    }

    fn refusal(&self, reason: &Reason) -> Refusal {
        pictures::refusal(reason)
    }

    fn log(&self, request: Option<&Request>, line: &LogLine) {
        log_invocation!(line, content = request.map(|request| request.word()));
    }
}
