//! `age`: the same work on one portrait with no cloud.

use std::cell::RefCell;
use std::time::Instant;

use aging::{Aligner, Engine, EngineKind, strip};
use anyhow::{Context, anyhow, ensure};
use container::heap;
use lambda::PanelFormat;
use nn::{Compute, Device, Stages};
use serde_json::{Map, json};

use crate::cli::Age;
use crate::progress::Progress;
use crate::{animation, memory, output, panels, sheet, threads};

pub(crate) fn run(age: &Age) -> anyhow::Result<()> {
    threads::limit(age.threads)?;
    let start = Instant::now();
    let compute = Compute { device: age.device, precision: age.precision };
    let folder = age.model.as_deref();
    let kind = EngineKind::of(folder).context("the model cannot be loaded")?;
    // A network on a CPU allocates its feature maps again and again.
    if kind == EngineKind::Sam && compute.device.find().is_ok_and(|device| device == Device::Cpu) {
        heap::keep_large_blocks();
    }
    let engine = Engine::load(folder, compute).context("the model cannot be loaded")?;
    let aligner = Aligner::load(folder.as_slice(), engine.kind()).context("the model cannot be loaded")?;
    let load_seconds = start.elapsed().as_secs_f64();
    let photo = &age.photo;
    let bytes = std::fs::read(photo).with_context(|| format!("the photo {} cannot be read", photo.display()))?;

    let start = Instant::now();
    let mut stages = Stages::default();
    let picture = stages.measure("decode", || picture::decode(&bytes));
    let picture = picture.with_context(|| format!("the photo {}", photo.display()))?;
    let (width, height) = picture.dimensions();
    ensure!(!age.aligned || width == height, "an aligned crop is square, but {} is {width}x{height}", photo.display());
    let portrait = stages
        .measure("align", || if age.aligned { aligner.aligned_portrait(picture) } else { aligner.portrait(&picture) });
    let portrait = portrait.map_err(|error| anyhow!("{}: {}: {error}", error.code(), photo.display()))?;
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

    let id = output::id_of(photo);
    let folder = age.out.clone().unwrap_or_else(|| output::default_folder(&id));
    let mut files = Vec::new();
    for panel in lambda::split(&npy, age.ages.len(), PanelFormat::Jpeg)? {
        files.push(output::write(&folder, &format!("{}.jpg", panel.number), &panel.bytes)?);
    }
    files.push(output::write(&folder, "strip.npy", &npy)?);
    let panels = panels::of_strip(&npy[header..], 1 + age.ages.len());
    let animation = (!age.view.no_animation).then(|| animation::write(&folder, &panels, age.ages.as_slice()));
    let animation = animation.transpose()?;

    let (engine, device) = (engine.kind().name(), engine.device());
    let stages = stages.iter().chain(engine_stages.iter());
    if age.json {
        let stages: Map<_, _> = stages.map(|(stage, time)| (stage.to_owned(), json!(time.as_secs_f64()))).collect();
        let line = json!({
            "id": id, "model": engine, "device": device.to_string(), "ages": age.ages, "loadSeconds": load_seconds,
            "seconds": seconds, "stageSeconds": stages, "peakMemoryBytes": memory::peak(), "files": files,
            "animation": animation,
        });
        println!("{line}");
    } else {
        println!("{engine} made {} ages in {seconds:.2} s on {device}", age.ages.len());
        println!("  {:<18} {load_seconds:>8.3} s before", "loading");
        stages.for_each(|(stage, time)| println!("  {stage:<18} {:>8.3} s", time.as_secs_f64()));
        if let Some(bytes) = memory::peak() {
            println!("  {:<18} {:>8.1} MB", "peak memory", bytes as f64 / 1e6);
        }
        files.iter().chain(&animation).for_each(|file| println!("{}", file.display()));
        if let Some(show) = age.view.show {
            sheet::show(&panels, show.forced())?;
        }
    }
    Ok(())
}
