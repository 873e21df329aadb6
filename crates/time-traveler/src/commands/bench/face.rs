//! `bench face`: detection, landmarks and crop, at the picture sizes of the comparison with dlib.

use std::hint::black_box;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use face::{FaceFinder, RgbImage, Sampling};
use image::imageops::{self, FilterType};

use super::measurement::{median, report};
use crate::models::FaceModels;
use crate::pictures::sample;

#[derive(Debug, Args)]
pub(crate) struct BenchFace {
    /// A picture with a face, which is resized to the measured sizes [default: a built-in portrait]
    photo: Option<PathBuf>,
    #[command(flatten)]
    models: FaceModels,
    /// Number of runs of each measurement; the median of their times is reported
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(bench: &BenchFace) -> anyhow::Result<()> {
    let finder = bench.models.finder()?;
    let (name, photo) = sample::photo_or_sample(bench.photo.as_deref())?;
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
    report(bench.json, runs, &times, &[])
}

fn detecting(finder: &FaceFinder, picture: &RgbImage, upsample: u32) -> impl Fn() {
    move || drop(black_box(finder.detector.detect(picture, upsample, 0.0)))
}
