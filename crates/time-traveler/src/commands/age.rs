//! `age`: one portrait, without the pipeline.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Instant;

use aging::{Engine, EngineKind, strip};
use anyhow::{Context, anyhow, ensure};
use clap::Args;
use container::handlers::face_aging::portraits::{PortraitError, Portraits};
use container::heap;
use lambda::PanelFormat;
use nn::{Device, Stages};
use pipeline::Ages;
use serde_json::{Map, json};

use crate::escape::Shown;
use crate::memory;
use crate::models::{ComputeOptions, ModelFolder};
use crate::pictures::output_folder::{self, ANIMATION, OutputFolder, STRIP};
use crate::pictures::{animation, panels, photograph, portrait_name, source};
use crate::terminal::contact_sheet;
use crate::terminal::progress::Progress;
use crate::terminal::view::View;

#[derive(Debug, Args)]
pub(crate) struct Age {
    /// A JPEG, PNG or WebP picture
    photo: PathBuf,
    /// The picture is an aligned square crop already; the preview engine still looks for landmarks
    #[arg(long)]
    aligned: bool,
    #[command(flatten)]
    model: ModelFolder,
    /// Ages to make
    #[arg(long, default_value_t)]
    ages: Ages,
    /// Folder for the pictures [default: out/{id}]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    compute: ComputeOptions,
    #[command(flatten)]
    view: View,
    /// Print the result as one line of JSON
    #[arg(long, conflicts_with = "show")]
    json: bool,
}

pub(crate) fn run(age: &Age) -> anyhow::Result<()> {
    age.compute.limit_threads()?;
    let start = Instant::now();
    let compute = age.compute.compute();
    let folder = age.model.folder.as_deref();
    let kind = age.model.engine()?;
    // A network on a CPU allocates its feature maps again and again.
    if kind == EngineKind::Sam && compute.device.find().is_ok_and(|device| device == Device::Cpu) {
        heap::keep_large_blocks();
    }
    let engine = Engine::load(folder, compute).context("the model cannot be loaded")?;
    let portraits = Portraits::load(folder.as_slice(), engine.kind()).context("the model cannot be loaded")?;
    let load_seconds = start.elapsed().as_secs_f64();
    let photo = &age.photo;
    let bytes = source::read(photo, source::MAX_BYTES)?;
    let id = portrait_name::id_of(photo);
    let folder = age.out.clone().unwrap_or_else(|| output_folder::default_folder(&id));
    let panels = (0..=age.ages.len()).map(|n| format!("{n}.jpg"));
    let others = [Some(STRIP), (!age.view.no_animation).then_some(ANIMATION)].into_iter().flatten();
    let mut output = OutputFolder::open(&folder, panels.chain(others.map(str::to_owned)))?;

    let start = Instant::now();
    let mut stages = Stages::default();
    let picture = stages.measure("decode", || photograph::decoded(&bytes, photo))?;
    let (width, height) = picture.dimensions();
    ensure!(!age.aligned || width == height, "an aligned crop is square, but {} is {width}x{height}", photo.shown());
    let portrait = stages.measure("align", || match age.aligned {
        true => portraits.aligner.aligned_portrait(picture).map_err(PortraitError::from),
        false => portraits.portrait(&picture),
    });
    let portrait = portrait.map_err(|error| match error {
        PortraitError::Face(error) => anyhow!("{}: {}: {error}", error.code(), photo.shown()),
        error @ PortraitError::Network(_) => error.into(),
    })?;
    let mut npy = pipeline::strip::npy_header(age.ages.len());
    let header = npy.len();
    let progress = RefCell::new(Progress::pieces("ageing"));
    let wanted = |done: usize| {
        progress.borrow_mut().at(done as u64, age.ages.len() as u64);
        true
    };
    let engine_stages = strip::append(&engine, portrait, age.ages.as_slice(), &mut npy, &wanted)?;
    progress.into_inner().finish();
    let seconds = start.elapsed().as_secs_f64();

    let mut files = Vec::new();
    for panel in lambda::split(&npy, age.ages.len(), PanelFormat::Jpeg)? {
        files.push(output.write(&format!("{}.jpg", panel.number), &panel.bytes)?);
    }
    files.push(output.write(STRIP, &npy)?);
    let panels = panels::of_strip(&npy[header..], 1 + age.ages.len());
    let animation = (!age.view.no_animation).then(|| animation::make(&panels, age.ages.as_slice())).transpose()?;
    let animation = animation.map(|bytes| output.write(ANIMATION, &bytes)).transpose()?;
    output.finish()?;

    let (engine, device) = (engine.kind().name(), engine.device());
    let stages = stages.iter().chain(engine_stages.iter());
    if age.json {
        let stages: Map<_, _> = stages.map(|(stage, time)| (stage.to_owned(), json!(time.as_secs_f64()))).collect();
        let line = json!({
            "id": id, "model": engine, "device": device.to_string(), "ages": age.ages, "loadSeconds": load_seconds,
            "seconds": seconds, "stageSeconds": stages, "peakMemoryBytes": memory::peak(), "files": files,
            "animation": animation,
        });
        print_line!("{line}")?;
    } else {
        print_line!("{engine} made {} ages in {seconds:.2} s on {device}", age.ages.len())?;
        print_line!("  {:<18} {load_seconds:>8.3} s before", "loading")?;
        for (stage, time) in stages {
            print_line!("  {stage:<18} {:>8.3} s", time.as_secs_f64())?;
        }
        if let Some(bytes) = memory::peak() {
            print_line!("  {:<18} {:>8.1} MB", "peak memory", bytes as f64 / 1e6)?;
        }
        for file in files.iter().chain(&animation) {
            print_line!("{}", file.shown())?;
        }
        if let Some(show) = age.view.show {
            contact_sheet::show(&panels, show.forced())?;
        }
    }
    Ok(())
}
