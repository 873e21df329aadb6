//! Face ageing: a portrait in, the strip of the same person at other ages out.

pub mod answer_type;
pub mod portraits;
pub mod settings;
pub mod wire;

use aging::sam::SamError;
use aging::strip::{self, Strip, StripError};
use aging::{Engine, EngineKind, LoadError, PANEL, Portrait, View, needed_checkpoint, sam};
use anyhow::Context;
use face::RgbImage;
use image::Rgb;
use nn::{Device, Stages};

use self::portraits::Portraits;
pub use self::settings::Settings;
use self::wire::Request;
use crate::buffers::Buffers;
use crate::handler::{Answer, Failure, InferenceHandler, Work};
use crate::head::Head;
use crate::log_line::{LogLine, log_invocation};
use crate::refusal::{Reason, Refusal};

/// Makes the strip of a portrait, with the engine of the model folder.
#[derive(Debug)]
pub struct FaceAging {
    portraits: Portraits,
    settings: Settings,
    buffers: Buffers,
}

impl FaceAging {
    /// Loads the face models, and chooses the engine by the files of the model folder.
    ///
    /// # Errors
    /// The model folder cannot be read, or a face model cannot be used.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let engine = EngineKind::of(settings.model_dir.as_deref())?;
        let folders = [settings.model_dir.as_deref(), settings.face_model_dir.as_deref()];
        let folders: Vec<_> = folders.into_iter().flatten().collect();
        Ok(Self { portraits: Portraits::load(&folders, engine)?, settings, buffers: Buffers::default() })
    }

    fn load(&self) -> Result<Engine, LoadError> {
        let model_dir = self.settings.model_dir.as_deref();
        let engine = Engine::load(model_dir, self.settings.compute)?;
        match &engine {
            Engine::Preview(_) => tracing::warn!(
                model_dir = model_dir.map(|folder| folder.display().to_string()),
                reason = model_dir.and_then(|folder| needed_checkpoint(folder).err()).map(|error| error.to_string()),
                "no model file (model.safetensors or model.pt) in the model folder: the preview engine is used"
            ),
            Engine::Sam(sam) => {
                tracing::info!(device = %sam.device(), output_size = sam.output_size(), "the model is loaded");
            }
        }
        Ok(engine)
    }

    /// Warm-up: one inference on a grey picture, so that kernels are compiled before `/ping` says healthy. The CPU compiles none.
    fn warm_up(&self, engine: &Engine) -> Result<(), StripError> {
        if engine.device() == Device::Cpu {
            return Ok(());
        }
        let panel = RgbImage::from_pixel(PANEL, PANEL, Rgb([128; 3]));
        let view = View::Face(RgbImage::from_pixel(sam::FACE, sam::FACE, Rgb([128; 3])));
        strip::append(engine, Portrait { panel, view }, &[40], &mut Vec::new(), &|_| true).map(drop)
    }
}

impl Work for Strip {
    fn is_done(&self) -> bool {
        self.is_done()
    }

    fn restart(&mut self) {
        self.restart();
    }
}

impl InferenceHandler for FaceAging {
    const METRICS_PREFIX: &'static str = "aging";
    const MAX_REQUEST_BYTES: usize = pipeline::MAX_UPLOAD_BYTES as usize;

    type Model = Engine;
    type Request = Request;
    type Payload = Vec<u8>;
    type Work = Strip;

    fn name(&self) -> &'static str {
        self.portraits.aligner.engine.name()
    }

    /// A batch of ages has at least one age of each invocation.
    fn batch_size(&self) -> usize {
        self.settings.batch_size
    }

    fn model(&self) -> anyhow::Result<Engine> {
        let engine = self.load()?;
        self.warm_up(&engine).context("the model is loaded, but does not run")?;
        Ok(engine)
    }

    fn accept(&self, head: &Head) -> Result<Request, Refusal> {
        wire::request(head, &self.settings.ages)
    }

    fn answer_bytes(&self, request: &Request) -> Option<usize> {
        wire::answer_bytes(request)
    }

    async fn fetch(&self, _: &Request, body: Vec<u8>, _: usize, _: &mut Stages) -> Result<Vec<u8>, Refusal> {
        Ok(body)
    }

    fn input(&self, request: &Request, body: Vec<u8>, stages: &mut Stages) -> Result<Strip, Refusal> {
        let picture = stages.measure("decode", || wire::picture(&body))?;
        let portrait = stages.measure("align", || self.portraits.portrait(&picture))?;
        Ok(Strip::begin(portrait, request.ages.as_slice(), wire::header(request))?.within(self.buffers.take()))
    }

    fn predict(&self, engine: &mut Engine, strips: &mut [&mut Strip], stages: &mut Stages) -> Result<(), Failure> {
        strip::step(engine, strips, self.settings.batch_size, stages).map_err(|error| match error {
            StripError::Sam(SamError::Device { .. }) => Failure::Device(error.into()),
            other => Failure::Request(other.into()),
        })
    }

    fn output(&self, request: &Request, strip: Strip, stages: &mut Stages) -> Result<Answer, Refusal> {
        let bytes = strip.into_bytes();
        match request.answer_type {
            answer_type::AnswerType::Npy => wire::answer(request, bytes, self.name()),
            answer_type::AnswerType::Picture(_) => {
                stages.measure("encode", || wire::answer(request, bytes, self.name()))
            }
        }
    }

    fn buffers(&self) -> Option<&Buffers> {
        Some(&self.buffers)
    }

    fn computes_on_cpu(&self) -> bool {
        self.portraits.aligner.engine == EngineKind::Sam && self.settings.compute.device.is_cpu()
    }

    fn device_memory(&self, engine: &Engine) -> Option<u64> {
        engine.device_memory()
    }

    fn refusal(&self, reason: &Reason) -> Refusal {
        wire::refusal(reason)
    }

    fn log(&self, request: Option<&Request>, line: &LogLine) {
        log_invocation!(line, ages = request.map(|request| request.ages.to_string()));
    }
}
