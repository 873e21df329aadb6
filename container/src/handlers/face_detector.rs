//! Face detection: pictures in, the boxes of their faces out, and five points of each.

pub mod objects;
pub mod settings;
pub mod wire;

use anyhow::{Context, bail};
use nn::checkpoint::Checkpoint;
use nn::{Device, Stages};
use picture::RgbImage;
use vision::{Face, FaceDetector, FaceNetwork, Identity, VisionError};

use self::objects::Objects;
pub use self::settings::Settings;
use self::wire::{Payload, Request};
use crate::handler::{Answer, Failure, InferenceHandler, Work};
use crate::head::Head;
use crate::log_line::{LogLine, log_invocation};
use crate::model_folder;
use crate::refusal::{Reason, Refusal};

/// Width and height of the picture that warms up a GPU, in pixels.
const WARM_UP: u32 = 64;

/// Finds faces, with the network whose checkpoint the model folder has.
#[derive(Debug)]
pub struct FaceDetection {
    settings: Settings,
    identity: Identity,
    objects: Objects,
}

impl FaceDetection {
    /// Identifies the checkpoint of the model folder. Its values are read later, by the worker.
    ///
    /// # Errors
    /// The folder has no checkpoint or several, the checkpoint is not that of `MODEL_NAME` or of any of the networks, or its
    /// network has no landmarks and they are wanted.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let Some(folder) = &settings.model_dir else {
            bail!("there is no model folder: SM_MODEL_DIR names one with a checkpoint of a face detector");
        };
        let file = model_folder::checkpoint(folder)?;
        let identity = vision::identify(&Checkpoint::open(&file)?, settings.network)?;
        if settings.landmarks && !identity.network.has_landmarks() {
            bail!(
                "WITH_LANDMARKS=TRUE cannot be used with {}, which has none: RetinaNetResNet50 or RetinaNetMobileNetV1 would work",
                wire::model_name(identity.network)
            );
        }
        Ok(Self { settings, identity, objects: Objects::default() })
    }

    /// The network of the checkpoint.
    pub fn network(&self) -> FaceNetwork {
        self.identity.network
    }

    fn faces(&self, detector: &FaceDetector, picture: &RgbImage) -> Result<Vec<Face>, VisionError> {
        detector.detect(picture, self.settings.order, self.settings.thresholds)
    }
}

/// The pictures of an invocation, and the faces of those that are done.
#[derive(Debug)]
pub struct Detection {
    pictures: Vec<RgbImage>,
    found: Vec<Vec<Face>>,
}

impl Work for Detection {
    fn is_done(&self) -> bool {
        self.found.len() == self.pictures.len()
    }

    fn restart(&mut self) {
        self.found.clear();
    }
}

impl InferenceHandler for FaceDetection {
    const METRICS_PREFIX: &'static str = "faces";
    const MAX_REQUEST_BYTES: usize = 50 << 20;

    type Model = FaceDetector;
    type Request = Request;
    type Payload = Payload;
    type Work = Detection;

    fn name(&self) -> &'static str {
        wire::model_name(self.identity.network)
    }

    /// Pictures have many sizes, and large maps are computed one by one.
    fn batch_size(&self) -> usize {
        1
    }

    fn model(&self) -> anyhow::Result<FaceDetector> {
        let detector = FaceDetector::load(&self.identity, self.settings.device.find()?)?;
        tracing::info!(network = %detector.network(), device = %detector.device(), "the model is loaded");
        if detector.device() != Device::Cpu {
            let picture = RgbImage::new(WARM_UP, WARM_UP);
            self.faces(&detector, &picture).context("the model is loaded, but does not run")?;
        }
        Ok(detector)
    }

    fn accept(&self, head: &Head) -> Result<Request, Refusal> {
        wire::request(head)
    }

    async fn fetch(&self, request: &Request, body: Vec<u8>, limit: usize, _: &mut Stages) -> Result<Payload, Refusal> {
        let Some(references) = wire::references(*request, &body)? else {
            return Ok(wire::whole(*request, body));
        };
        Ok(Payload::Files(self.objects.fetch(&references, limit).await?))
    }

    fn input(&self, _: &Request, payload: Payload, stages: &mut Stages) -> Result<Detection, Refusal> {
        let pictures = stages.measure("decode", || wire::pictures(payload))?;
        Ok(Detection { pictures, found: Vec::new() })
    }

    /// One picture of each invocation.
    fn predict(
        &self,
        detector: &mut FaceDetector,
        batch: &mut [&mut Detection],
        stages: &mut Stages,
    ) -> Result<(), Failure> {
        for work in batch {
            let Some(picture) = work.pictures.get(work.found.len()) else { continue };
            let faces = stages.measure("detect", || self.faces(detector, picture));
            work.found.push(faces.map_err(|error| match error {
                VisionError::Device(_) => Failure::Device(error.into()),
                other => {
                    tracing::error!(error = %other, "the picture cannot be searched");
                    Failure::Request(self.refusal(&Reason::Failed))
                }
            })?);
        }
        Ok(())
    }

    fn output(&self, _: &Request, work: Detection, stages: &mut Stages) -> Result<Answer, Refusal> {
        Ok(stages.measure("encode", || wire::answer(&work.found, self.settings.landmarks)))
    }

    fn computes_on_cpu(&self) -> bool {
        self.settings.device.is_cpu()
    }

    fn device_memory(&self, detector: &FaceDetector) -> Option<u64> {
        detector.device().memory()
    }

    fn refusal(&self, reason: &Reason) -> Refusal {
        wire::refusal(reason)
    }

    fn log(&self, request: Option<&Request>, line: &LogLine) {
        log_invocation!(line, content = request.map(|request| request.word()));
    }
}
