use std::io::Cursor;

use aging::sam::SamError;
use aging::strip::{self, Strip, StripError};
use aging::{Engine, EngineKind, LoadError, PANEL, Portrait, View, sam};
use anyhow::Context;
use face::{Rectangle, RgbImage};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb};
use nn::Stages;
use pipeline::ImageType;

use crate::aligner::Aligner;
use crate::answer_type::AnswerType;
use crate::handler::{Failure, InferenceHandler, Request, Work};
use crate::npy;
use crate::refusal::Refusal;
use crate::settings::Settings;

const JPEG_QUALITY: u8 = 92;

const _: () = assert!(PANEL as usize == pipeline::strip::PANEL, "one size of a panel");

/// Makes the strip of a portrait.
pub(crate) struct FaceAging {
    aligner: Aligner,
    settings: Settings,
}

impl FaceAging {
    /// As the settings' folders say.
    pub(crate) fn new(settings: Settings) -> anyhow::Result<Self> {
        let engine = EngineKind::of(settings.model_dir.as_deref())?;
        let folders = [settings.model_dir.as_deref(), settings.face_model_dir.as_deref()];
        let folders: Vec<_> = folders.into_iter().flatten().collect();
        Ok(Self { aligner: Aligner::load(&folders, engine)?, settings })
    }

    fn load(&self) -> Result<Engine, LoadError> {
        let model_dir = self.settings.model_dir.as_deref();
        let engine = Engine::load(model_dir, self.settings.compute)?;
        match &engine {
            Engine::Preview(_) => tracing::warn!(
                model_dir = model_dir.map(|folder| folder.display().to_string()),
                "no model file (model.safetensors or model.pt) in the model folder: the preview engine is used"
            ),
            Engine::Sam(sam) => {
                tracing::info!(device = %sam.device(), output_size = sam.output_size(), "the model is loaded");
            }
        }
        Ok(engine)
    }

    /// Makes one age of a picture without a face, which shows that the engine runs, and has what is made at its first run made.
    fn run_once(&self, engine: &Engine) -> Result<(), StripError> {
        let panel = RgbImage::from_pixel(PANEL, PANEL, Rgb([128; 3]));
        let view = match engine.kind() {
            EngineKind::Preview => {
                let middle = Rectangle { left: 256, top: 256, right: 767, bottom: 767 };
                View::Landmarks(Box::new(self.aligner.faces.predictor.predict(&panel, &middle)))
            }
            EngineKind::Sam => View::Face(RgbImage::from_pixel(sam::FACE, sam::FACE, Rgb([128; 3]))),
        };
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
    type Model = Engine;
    type Work = Strip;

    fn name(&self) -> &'static str {
        self.aligner.engine.name()
    }

    fn model(&self) -> anyhow::Result<Engine> {
        let engine = self.load()?;
        self.run_once(&engine).context("the model is loaded, but does not run")?;
        Ok(engine)
    }

    fn input(&self, request: &Request, stages: &mut Stages) -> Result<Strip, Refusal> {
        let picture = stages.measure("decode", || picture::decode(&request.picture)).map_err(logged)?;
        let portrait = stages.measure("align", || self.aligner.portrait(&picture))?;
        let ages = request.ages.as_slice();
        let header = match request.answer_type {
            AnswerType::Npy => npy::header(pipeline::strip::shape(ages.len())),
            AnswerType::Picture(_) => Vec::new(),
        };
        Ok(Strip::begin(portrait, ages, header)?)
    }

    fn predict(&self, engine: &mut Engine, strips: &mut [&mut Strip], stages: &mut Stages) -> Result<(), Failure> {
        strip::step(engine, strips, self.settings.batch_size, stages).map_err(|error| match error {
            StripError::Sam(SamError::Device(source)) => Failure::Device(source.to_string()),
            other => Failure::Request(other.into()),
        })
    }

    fn output(&self, strip: Strip, answer_type: AnswerType, stages: &mut Stages) -> Result<Vec<u8>, Refusal> {
        let ages = strip.ages().len();
        let bytes = strip.into_bytes();
        let AnswerType::Picture(format) = answer_type else { return Ok(bytes) };
        let (rows, columns, _) = pipeline::strip::shape(ages);
        let file = stages.measure("encode", || encoded(&bytes, columns as u32, rows as u32, format));
        file.map_err(|error| {
            tracing::error!(%error, "the strip cannot be encoded");
            Refusal::broken()
        })
    }

    fn device_memory(&self, engine: &Engine) -> Option<u64> {
        engine.device_memory()
    }
}

/// The client is told what would work; why the decoder gave up is for whoever reads the log.
fn logged(error: picture::PictureError) -> picture::PictureError {
    if let Some(source) = std::error::Error::source(&error) {
        tracing::info!(%error, %source, "picture refused");
    }
    error
}

fn encoded(pixels: &[u8], width: u32, height: u32, format: ImageType) -> image::ImageResult<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    let rgb = ExtendedColorType::Rgb8;
    match format {
        ImageType::Jpeg => {
            JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY).write_image(pixels, width, height, rgb)?;
        }
        ImageType::Png => PngEncoder::new(&mut file).write_image(pixels, width, height, rgb)?,
        ImageType::WebP => WebPEncoder::new_lossless(&mut file).write_image(pixels, width, height, rgb)?,
    }
    Ok(file.into_inner())
}
