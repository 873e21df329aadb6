//! Object detection as in `svpino/tensorflow-object-detection-sagemaker`: a picture in, boxes of objects and their classes out.

mod files;
pub mod wire;

use anyhow::{Context, bail};
use nn::{Device, Stages};
use picture::RgbImage;
use vision::VisionError;
use vision::ssd::{Detection, Detector, Input};

pub use self::files::{ModelFiles, is_model};
use self::wire::Payload;
use crate::handler::{Answer, Failure, InferenceHandler, Work};
use crate::head::Head;
use crate::log_line::{LogLine, log_invocation};
use crate::network_settings::NetworkSettings;
use crate::refusal::{Reason, Refusal};

/// The most pictures that are computed together.
const BATCH: usize = 8;

/// Finds objects, with the network of the model folder.
#[derive(Debug)]
pub struct ObjectDetection {
    settings: NetworkSettings,
    files: ModelFiles,
}

impl ObjectDetection {
    /// Identifies the files of the model folder. The values of the checkpoint are read later, by the worker.
    ///
    /// # Errors
    /// There is no model folder, or its files are not those of an SSD.
    pub fn new(settings: NetworkSettings) -> anyhow::Result<Self> {
        let Some(folder) = &settings.model_dir else {
            bail!("there is no model folder: SM_MODEL_DIR names one with a graph and its pipeline.config");
        };
        let files = ModelFiles::open(folder)?;
        Ok(Self { settings, files })
    }
}

/// A picture as the network takes it, and then its detections.
#[derive(Debug)]
pub struct Picture {
    input: Input,
    threshold: f64,
    detections: Option<Vec<Detection>>,
}

impl Work for Picture {
    fn is_done(&self) -> bool {
        self.detections.is_some()
    }

    fn restart(&mut self) {
        self.detections = None;
    }
}

impl InferenceHandler for ObjectDetection {
    const METRICS_PREFIX: &'static str = "ssd";
    const MAX_REQUEST_BYTES: usize = 50 << 20;

    type Model = Detector;
    type Request = ();
    type Payload = Payload;
    type Work = Picture;

    fn name(&self) -> &'static str {
        self.files.name()
    }

    fn batch_size(&self) -> usize {
        BATCH
    }

    fn model(&self) -> anyhow::Result<Detector> {
        let detector = self.files.load(self.settings.device.find()?)?;
        tracing::info!(network = self.files.name(), device = %detector.device(), "the model is loaded");
        if detector.device() != Device::Cpu {
            let input = self.files.input(&RgbImage::new(1, 1));
            detector.detect(&[&input]).context("the model is loaded, but does not run")?;
        }
        Ok(detector)
    }

    fn accept(&self, head: &Head) -> Result<(), Refusal> {
        wire::request(head)
    }

    async fn fetch(&self, (): &(), body: Vec<u8>, _: usize, stages: &mut Stages) -> Result<Payload, Refusal> {
        stages.measure("parse", || wire::payload(&body))
    }

    fn input(&self, (): &(), payload: Payload, stages: &mut Stages) -> Result<Picture, Refusal> {
        let picture = stages.measure("decode", || wire::decoded(&payload.image))?;
        let input = stages.measure("resize", || self.files.input(&picture));
        Ok(Picture { input, threshold: payload.threshold, detections: None })
    }

    fn predict(&self, detector: &mut Detector, batch: &mut [&mut Picture], stages: &mut Stages) -> Result<(), Failure> {
        let inputs: Vec<&Input> = batch.iter().map(|work| &work.input).collect();
        let detections = stages.measure("detect", || detector.detect(&inputs)).map_err(|error| match error {
            VisionError::Device(_) => Failure::Device(error.into()),
            other => {
                tracing::error!(error = %other, "the pictures cannot be searched");
                Failure::Request(self.refusal(&Reason::Failed))
            }
        })?;
        for (work, detections) in batch.iter_mut().zip(detections) {
            work.detections = Some(detections);
        }
        Ok(())
    }

    fn output(&self, (): &(), work: Picture, stages: &mut Stages) -> Result<Answer, Refusal> {
        let detections = work.detections.ok_or_else(|| self.refusal(&Reason::Failed))?;
        let rows = self.files.identity.config.post_processing.total;
        Ok(stages.measure("encode", || wire::answer(&detections, rows, work.threshold)))
    }

    fn computes_on_cpu(&self) -> bool {
        self.settings.device.is_cpu()
    }

    fn device_memory(&self, detector: &Detector) -> Option<u64> {
        detector.device().memory()
    }

    fn refusal(&self, reason: &Reason) -> Refusal {
        wire::refusal(reason)
    }

    fn log(&self, request: Option<&()>, line: &LogLine) {
        log_invocation!(line, is_read = request.is_some());
    }
}
