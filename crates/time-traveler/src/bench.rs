//! `bench`: how fast this machine does the work.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use aging::preview::Preview;
use anyhow::Context;
use face::{FaceFinder, RgbImage, Sampling};
use image::imageops::{self, FilterType};
use lambda::PanelFormat;
use ndarray::ArrayView3;
use ndarray_npy::ViewNpyExt;
use pipeline::strip;
use serde_json::{Map, Value, json};

use crate::cli::{Bench, BenchFace, BenchPreview, BenchSplit};
use crate::{bench_aging, bench_functions, bench_serve, memory};

/// A face for whoever names none.
pub(crate) const SAMPLE: &[u8] = include_bytes!("../../../examples/astronaut.png");

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Face(face) => faces(face),
        Bench::Preview(preview) => ages(preview),
        Bench::Aging(aging) => bench_aging::run(aging),
        Bench::Split(split) => strips(split),
        Bench::Serve(serve) => bench_serve::run(serve),
        Bench::Functions(functions) => bench_functions::run(functions),
    }
}

/// Finding, landmarking and cutting out a face, at the sizes that dlib is compared at.
fn faces(bench: &BenchFace) -> anyhow::Result<()> {
    let finder = aging::face_finder(bench.detector.as_deref(), bench.landmarks.as_deref())?;
    let (name, photo) = portrait(bench.photo.as_deref())?;
    let side = photo.width().min(photo.height());
    let (left, top) = ((photo.width() - side) / 2, (photo.height() - side) / 2);
    let square = imageops::crop_imm(&photo, left, top, side, side).to_image();
    let at = |side: u32| imageops::resize(&square, side, side, FilterType::CatmullRom);
    let (small, large) = (at(512), at(1024));
    let face = finder.portrait(&small).with_context(|| {
        format!("{name}, its middle at 512 x 512 pixels, has no face to measure landmarks and crop on")
    })?;
    let landmarks = || drop(black_box(Box::new(finder.predictor.predict(&small, &face.detection.rectangle))));
    let align = || drop(black_box(face::align(&small, &face.landmarks, aging::PANEL, Sampling::Smooth)));
    let runs = usize::from(bench.runs);
    let times = [
        ("detect512Upsample1", median(runs, detecting(&finder, &small, 1))),
        ("detect1024Upsample0", median(runs, detecting(&finder, &large, 0))),
        ("detect1024Upsample1", median(runs, detecting(&finder, &large, 1))),
        ("landmarks", median(runs, landmarks)),
        ("align1024", median(runs, align)),
    ];
    report(bench.json, runs, &times, &[]);
    Ok(())
}

/// Analysing an aligned face and making single ages of it.
fn ages(bench: &BenchPreview) -> anyhow::Result<()> {
    let (name, photo) = portrait(bench.photo.as_deref())?;
    let face = aging::face_finder(None, None)?.portrait(&photo).with_context(|| name.clone())?;
    let aligned = face::align(&photo, &face.landmarks, aging::PANEL, Sampling::Smooth).with_context(|| name)?;
    let runs = usize::from(bench.runs);
    let analyse = || Preview.analyse(&aligned.picture, &aligned.landmarks);
    let analysis = analyse();
    let row = 3 * aging::PANEL as usize;
    let age = |age: u8| {
        let analysis = &analysis;
        move || {
            let mut panel = vec![0; row * aging::PANEL as usize];
            Preview.render(analysis, age, &mut panel, row);
            black_box(panel);
        }
    };
    let times = [
        ("analysis", median(runs, || drop(black_box(analyse())))),
        ("age10", median(runs, age(10))),
        ("age20", median(runs, age(20))),
        ("age40", median(runs, age(40))),
        ("age60", median(runs, age(60))),
        ("age80", median(runs, age(80))),
    ];
    let peak: Vec<(&str, Value)> = memory::peak().map(|bytes| ("peakMemoryBytes", json!(bytes))).into_iter().collect();
    report(bench.json, runs, &times, &peak);
    Ok(())
}

/// Splitting a strip as the `image-processor` does.
fn strips(bench: &BenchSplit) -> anyhow::Result<()> {
    let npy = match &bench.strip {
        Some(strip) => std::fs::read(strip).with_context(|| format!("{} cannot be read", strip.display()))?,
        None => sample_strip()?,
    };
    let shape = ArrayView3::<u8>::view_npy(&npy).context("a strip is a .npy of uint8 of three dimensions")?.dim();
    let ages = (shape.1 / strip::PANEL).saturating_sub(1);
    let runs = usize::from(bench.runs);
    let panels = lambda::split(&npy, ages, PanelFormat::Jpeg)?;
    let time = median(runs, || drop(black_box(lambda::split(&npy, ages, PanelFormat::Jpeg))));
    let written: usize = panels.iter().map(|panel| panel.bytes.len()).sum();
    let mut more =
        vec![("panels", json!(panels.len())), ("jpegBytes", json!(written)), ("stripBytes", json!(npy.len()))];
    more.extend(memory::peak().map(|bytes| ("peakMemoryBytes", json!(bytes))));
    report(bench.json, runs, &[("split", time)], &more);
    Ok(())
}

/// The strip of the built-in portrait, made by another process, so that its memory is not counted here.
fn sample_strip() -> anyhow::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let photo = folder.path().join("portrait.png");
    std::fs::write(&photo, SAMPLE)?;
    let mut age = Command::new(std::env::current_exe()?);
    age.arg("age").arg(&photo).args(["--ages", "20,40,60,80", "--out"]).arg(folder.path());
    let output = age.output().context("the strip cannot be made")?;
    anyhow::ensure!(output.status.success(), "the strip cannot be made: {}", String::from_utf8_lossy(&output.stderr));
    Ok(std::fs::read(folder.path().join("strip.npy"))?)
}

/// The photo to measure on, and what to call it.
pub(crate) fn portrait(photo: Option<&Path>) -> anyhow::Result<(String, RgbImage)> {
    let (name, bytes) = match photo {
        Some(photo) => {
            let name = format!("the photo {}", photo.display());
            let bytes = std::fs::read(photo).with_context(|| format!("{name} cannot be read"))?;
            (name, bytes)
        }
        None => ("the built-in portrait".to_owned(), SAMPLE.to_vec()),
    };
    let picture = picture::decode(&bytes).with_context(|| name.clone())?;
    Ok((name, picture))
}

fn report(as_json: bool, runs: usize, times: &[(&str, f64)], more: &[(&str, Value)]) {
    let threads = rayon::current_num_threads();
    if as_json {
        let milliseconds: Map<String, Value> = times.iter().map(|(name, time)| ((*name).into(), json!(time))).collect();
        let mut line = json!({"threads": threads, "runs": runs, "milliseconds": milliseconds});
        more.iter().for_each(|(name, value)| line[*name] = value.clone());
        println!("{line}");
    } else {
        println!("median of {runs} runs on {threads} threads");
        times.iter().for_each(|(name, time)| println!("  {name:<20} {time:>8.2} ms"));
        more.iter().for_each(|(name, value)| println!("  {name:<20} {value}"));
    }
}

fn detecting(finder: &FaceFinder, picture: &RgbImage, upsample: u32) -> impl Fn() {
    move || drop(black_box(finder.detector.detect(picture, upsample, 0.0)))
}

/// The median time of a piece of work in milliseconds, after one run that warms up.
fn median(runs: usize, work: impl Fn()) -> f64 {
    work();
    let timed = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    };
    median_of((0..runs).map(timed).collect())
}

/// The one in the middle.
pub(crate) fn median_of(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
