//! Classification: a picture in, its class and the network's confidence out.

pub mod wire;

use std::path::Path;

use anyhow::{Context, bail};
use nn::checkpoint::Checkpoint;
use nn::{Device, Stages};
use picture::RgbImage;
use vision::VisionError;
use vision::classifier::{Classifier, DESCRIPTION, Description, Identity, Pixels, identify};

use self::wire::Request;
use crate::handler::{Answer, Failure, InferenceHandler, Work};
use crate::handlers::pictures;
use crate::head::Head;
use crate::log_line::{LogLine, log_invocation};
use crate::model_folder;
use crate::network_settings::NetworkSettings;
use crate::refusal::{Reason, Refusal};

/// The most pictures that are computed together.
const BATCH: usize = 8;

/// The files of a model folder: its checkpoint, and `classes.json` or fastai's `export.pkl`.
#[derive(Debug)]
pub struct ModelFiles {
    /// The checkpoint. Its values are not read yet.
    pub identity: Identity,
    /// The classes.
    pub description: Description,
}

impl ModelFiles {
    /// Identifies the files of a folder.
    ///
    /// # Errors
    /// There is no checkpoint or several, it is not that of a classifier, or the classes are not those of its network.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let file = model_folder::checkpoint(folder)?;
        let identity = identify(&Checkpoint::open(&file)?)?;
        let description = Description::read(folder)?;
        let (network, named) = (identity.classes, description.classes.len());
        if network != named {
            bail!(
                "{} has {network} classes, and the description in its folder names {named}: {DESCRIPTION} with {network} names \
                 would work",
                file.display()
            );
        }
        Ok(Self { identity, description })
    }

    /// Loads the network.
    ///
    /// # Errors
    /// The checkpoint is damaged, or the device failed.
    pub fn load(&self, device: Device) -> Result<Classifier, VisionError> {
        Classifier::load(&self.identity, self.description.clone(), device)
    }
}

/// Classifies pictures, with the network whose checkpoint the model folder has.
#[derive(Debug)]
pub struct Classification {
    settings: NetworkSettings,
    files: ModelFiles,
}

impl Classification {
    /// Identifies the files of the model folder. The values of the checkpoint are read later, by the worker.
    ///
    /// # Errors
    /// There is no model folder, or its files are not those of a classifier.
    pub fn new(settings: NetworkSettings) -> anyhow::Result<Self> {
        let Some(folder) = &settings.model_dir else {
            bail!("there is no model folder: SM_MODEL_DIR names one with a checkpoint of a classifier");
        };
        let files = ModelFiles::open(folder)?;
        Ok(Self { settings, files })
    }
}

/// A picture as the network takes it, and then its probabilities.
#[derive(Debug)]
pub struct Picture {
    pixels: Pixels,
    probabilities: Option<Vec<f32>>,
}

impl Work for Picture {
    fn is_done(&self) -> bool {
        self.probabilities.is_some()
    }

    fn restart(&mut self) {
        self.probabilities = None;
    }
}

impl InferenceHandler for Classification {
    const METRICS_PREFIX: &'static str = "classifier";
    const MAX_REQUEST_BYTES: usize = 50 << 20;

    type Model = Classifier;
    type Request = Request;
    type Payload = Vec<u8>;
    type Work = Picture;

    fn name(&self) -> &'static str {
        self.files.identity.body.name()
    }

    fn batch_size(&self) -> usize {
        BATCH
    }

    fn model(&self) -> anyhow::Result<Classifier> {
        let classifier = self.files.load(self.settings.device.find()?)?;
        tracing::info!(body = %classifier.body(), device = %classifier.device(), "the model is loaded");
        if classifier.device() != Device::Cpu {
            let input = classifier.description().input(&RgbImage::new(1, 1));
            classifier.classify(&[&input]).context("the model is loaded, but does not run")?;
        }
        Ok(classifier)
    }

    fn accept(&self, head: &Head) -> Result<Request, Refusal> {
        wire::request(head)
    }

    async fn fetch(&self, _: &Request, body: Vec<u8>, _: usize, _: &mut Stages) -> Result<Vec<u8>, Refusal> {
        Ok(body)
    }

    fn input(&self, _: &Request, body: Vec<u8>, stages: &mut Stages) -> Result<Picture, Refusal> {
        let picture = stages.measure("decode", || pictures::decoded(&body))?;
        let pixels = stages.measure("resize", || self.files.description.input(&picture));
        Ok(Picture { pixels, probabilities: None })
    }

    fn predict(
        &self,
        classifier: &mut Classifier,
        batch: &mut [&mut Picture],
        stages: &mut Stages,
    ) -> Result<(), Failure> {
        let pixels: Vec<&Pixels> = batch.iter().map(|work| &work.pixels).collect();
        let probabilities =
            stages.measure("classify", || classifier.classify(&pixels)).map_err(|error| match error {
                VisionError::Device(_) => Failure::Device(error.into()),
                other => {
                    tracing::error!(error = %other, "the pictures cannot be classified");
                    Failure::Request(self.refusal(&Reason::Failed))
                }
            })?;
        for (work, probabilities) in batch.iter_mut().zip(probabilities) {
            work.probabilities = Some(probabilities);
        }
        Ok(())
    }

    fn output(&self, request: &Request, work: Picture, stages: &mut Stages) -> Result<Answer, Refusal> {
        let probabilities = work.probabilities.ok_or_else(|| self.refusal(&Reason::Failed))?;
        Ok(stages.measure("encode", || wire::answer(*request, &self.files.description.classes, &probabilities)))
    }

    fn computes_on_cpu(&self) -> bool {
        self.settings.device.is_cpu()
    }

    fn device_memory(&self, classifier: &Classifier) -> Option<u64> {
        classifier.device().memory()
    }

    fn refusal(&self, reason: &Reason) -> Refusal {
        pictures::refusal(reason)
    }

    fn log(&self, request: Option<&Request>, line: &LogLine) {
        log_invocation!(line, top = request.and_then(|request| request.top));
    }
}
