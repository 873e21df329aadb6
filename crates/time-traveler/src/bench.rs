//! `bench`: how fast this machine does the work.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context;
use face::{FaceFinder, RgbImage, Sampling};
use image::imageops::{self, FilterType};
use serde_json::{Map, Value, json};

use crate::cli::{Bench, BenchFace};

/// A face for whoever names none.
const SAMPLE: &[u8] = include_bytes!("../../../examples/astronaut.png");

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Face(face) => faces(face),
    }
}

/// Finding, landmarking and cutting out a face, at the sizes that dlib is compared at.
fn faces(bench: &BenchFace) -> anyhow::Result<()> {
    let finder = container::face_finder(bench.detector.as_deref(), bench.landmarks.as_deref())?;
    let (name, bytes) = match &bench.photo {
        Some(photo) => {
            let bytes = std::fs::read(photo);
            (
                photo.display().to_string(),
                bytes.with_context(|| format!("the photo {} cannot be read", photo.display()))?,
            )
        }
        None => ("the built-in portrait".to_owned(), SAMPLE.to_vec()),
    };
    let photo = aging::decode(&bytes).with_context(|| format!("the photo {name}"))?;
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
    let threads = rayon::current_num_threads();
    if bench.json {
        let milliseconds: Map<String, Value> = times.iter().map(|(name, time)| ((*name).into(), json!(time))).collect();
        println!("{}", json!({"threads": threads, "runs": runs, "milliseconds": milliseconds}));
    } else {
        println!("median of {runs} runs on {threads} threads");
        times.iter().for_each(|(name, time)| println!("  {name:<20} {time:>8.2} ms"));
    }
    Ok(())
}

fn detecting(finder: &FaceFinder, picture: &RgbImage, upsample: u32) -> impl Fn() {
    move || drop(black_box(finder.detector.detect(picture, upsample, 0.0)))
}

/// The median time of a piece of work in milliseconds, after one run that warms up.
fn median(runs: usize, work: impl Fn()) -> f64 {
    work();
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}
