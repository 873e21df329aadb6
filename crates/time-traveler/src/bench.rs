//! `bench`: how fast this machine does the work.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context;
use face::{FaceFinder, RgbImage, Sampling};
use image::imageops::{self, FilterType};
use serde_json::{Map, json};

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
    let bytes = match &bench.photo {
        Some(photo) => std::fs::read(photo).with_context(|| format!("the photo {} cannot be read", photo.display()))?,
        None => SAMPLE.to_vec(),
    };
    let photo = aging::decode(&bytes)?;
    let at = |side: u32| imageops::resize(&photo, side, side, FilterType::CatmullRom);
    let (small, large) = (at(512), at(1024));
    let mut milliseconds = Map::new();
    let mut measure = |name: &str, mut work: Box<dyn FnMut() + '_>| {
        milliseconds.insert(name.to_owned(), json!(median(usize::from(bench.runs), &mut work)));
    };
    measure("detect512Upsample1", detecting(&finder, &small, 1));
    measure("detect1024Upsample0", detecting(&finder, &large, 0));
    measure("detect1024Upsample1", detecting(&finder, &large, 1));
    let face = finder.portrait(&small).context("no face to measure landmarks and crop on")?;
    measure(
        "landmarks",
        Box::new(|| {
            black_box(finder.predictor.predict(&small, &face.detection.rectangle));
        }),
    );
    let align = || drop(black_box(face::align(&small, &face.landmarks, aging::PANEL, Sampling::Smooth)));
    measure("align1024", Box::new(align));
    let threads = rayon::current_num_threads();
    if bench.json {
        println!("{}", json!({"threads": threads, "runs": bench.runs, "milliseconds": milliseconds}));
    } else {
        println!("median of {} runs on {threads} threads", bench.runs);
        for (name, value) in &milliseconds {
            println!("  {name:<20} {:>8.2} ms", value.as_f64().unwrap_or_default());
        }
    }
    Ok(())
}

fn detecting<'a>(finder: &'a FaceFinder, picture: &'a RgbImage, upsample: u32) -> Box<dyn FnMut() + 'a> {
    Box::new(move || drop(black_box(finder.detector.detect(picture, upsample, 0.0))))
}

/// The median time of a piece of work in milliseconds, after one run that warms up.
fn median(runs: usize, work: &mut dyn FnMut()) -> f64 {
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
