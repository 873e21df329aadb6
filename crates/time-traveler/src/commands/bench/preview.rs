//! `bench preview`: the preview engine's analysis of an aligned face, and single ages of it.

use std::hint::black_box;
use std::path::PathBuf;

use aging::preview::Preview;
use anyhow::Context;
use clap::Args;
use face::Sampling;
use serde_json::{Value, json};

use super::measurement::{median, report};
use crate::memory;
use crate::pictures::sample;

#[derive(Debug, Args)]
pub(crate) struct BenchPreview {
    /// A picture with a face [default: a built-in portrait]
    photo: Option<PathBuf>,
    /// Number of runs of each measurement; the median of their times is reported
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(bench: &BenchPreview) -> anyhow::Result<()> {
    let (name, photo) = sample::photo_or_sample(bench.photo.as_deref())?;
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
    report(bench.json, runs, &times, &peak)
}
