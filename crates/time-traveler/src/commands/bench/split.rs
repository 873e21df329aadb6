//! `bench split`: a strip into JPEGs, as `image-processor` does it.

use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use clap::Args;
use lambda::{PanelFormat, Splitter};
use pipeline::strip;
use serde_json::json;

use super::measurement::{median, report};
use crate::memory;
use crate::pictures::sample::SAMPLE;

#[derive(Debug, Args)]
pub(crate) struct BenchSplit {
    /// A strip that `age` wrote [default: the strip of a built-in portrait at four ages]
    strip: Option<PathBuf>,
    /// Number of splits; the median of their times is reported
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(bench: &BenchSplit) -> anyhow::Result<()> {
    let npy = match &bench.strip {
        Some(strip) => std::fs::read(strip).with_context(|| format!("{} cannot be read", strip.display()))?,
        None => sample_strip()?,
    };
    // The header is smaller than a panel. `split` refuses a file of another shape.
    let ages = (npy.len() / (3 * strip::PANEL * strip::PANEL)).saturating_sub(1);
    let runs = usize::from(bench.runs);
    // As image-processor, it keeps the memory of one split for the next.
    let splitter = Splitter::default();
    let panels = splitter.split(&npy, ages, PanelFormat::Jpeg)?;
    let time = median(runs, || drop(black_box(splitter.split(&npy, ages, PanelFormat::Jpeg))));
    let written: usize = panels.iter().map(|panel| panel.bytes.len()).sum();
    let mut more =
        vec![("panels", json!(panels.len())), ("jpegBytes", json!(written)), ("stripBytes", json!(npy.len()))];
    more.extend(memory::peak().map(|bytes| ("peakMemoryBytes", json!(bytes))));
    report(bench.json, runs, &[("split", time)], &more)
}

/// The strip of the built-in portrait. A child process makes it, so that the peak memory measured here is that of the split.
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
