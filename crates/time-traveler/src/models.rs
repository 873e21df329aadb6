//! Options that say which models a command uses, and what they compute on.

use std::path::PathBuf;

use aging::EngineKind;
use anyhow::Context;
use clap::Args;
use face::FaceFinder;
use nn::{Compute, DeviceChoice, Precision};

use crate::choice::Choice;

/// The folder of the ageing model.
#[derive(Debug, Args)]
pub(crate) struct ModelFolder {
    /// Folder of the model's files; without one, the preview engine makes the pictures
    #[arg(long = "model", id = "model", value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

impl ModelFolder {
    /// The engine for the folder; the preview without one.
    ///
    /// # Errors
    /// Where the folder has no checkpoint under a name that is read, or cannot be read.
    pub(crate) fn engine(&self) -> anyhow::Result<EngineKind> {
        let folder = self.folder.as_deref();
        folder.map_or(Ok(EngineKind::Preview), aging::named_engine).context("the model cannot be loaded")
    }
}

/// What the SAM engine computes on, and with.
#[derive(Debug, Args)]
pub(crate) struct ComputeOptions {
    /// What the SAM engine computes on
    #[arg(long, value_name = "auto|cpu|cuda", default_value = "auto", hide_possible_values = true,
        value_parser = Choice::<DeviceChoice>::of(&["auto", "cpu", "cuda"]))]
    pub(crate) device: DeviceChoice,
    /// The numbers it computes with; bfloat16 is faster on GPUs only
    #[arg(long, value_name = "float32|bfloat16", default_value = "float32", hide_possible_values = true,
        value_parser = Choice::<Precision>::of(&["float32", "bfloat16"]))]
    pub(crate) precision: Precision,
    /// CPU threads [default: one for each core that this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ComputeOptions {
    pub(crate) fn compute(&self) -> Compute {
        Compute { device: self.device, precision: self.precision }
    }

    /// Starts the thread pool of this process with the wanted number of threads.
    ///
    /// # Errors
    /// Where the pool is in use already, or a thread cannot start.
    pub(crate) fn limit_threads(&self) -> anyhow::Result<()> {
        if let Some(threads) = self.threads {
            rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global()?;
        }
        Ok(())
    }
}

/// The face models, in dlib's formats.
#[derive(Debug, Args)]
pub(crate) struct FaceModels {
    /// A HOG face detector in dlib's format [default: a small built-in one]
    #[arg(long, value_name = "FILE")]
    detector: Option<PathBuf>,
    /// A 68-point shape predictor in dlib's format [default: a small built-in one]
    #[arg(long, value_name = "FILE")]
    landmarks: Option<PathBuf>,
}

impl FaceModels {
    /// Loads the models.
    ///
    /// # Errors
    /// Where a file cannot be read, or holds another model.
    pub(crate) fn finder(&self) -> anyhow::Result<FaceFinder> {
        Ok(aging::face_finder(self.detector.as_deref(), self.landmarks.as_deref())?)
    }
}
