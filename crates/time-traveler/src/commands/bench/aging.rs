//! `bench aging`: how fast this machine runs the SAM engine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use aging::sam::{self, Multiplications, Sam};
use aging::{Aligner, Engine, EngineKind, Portrait, strip};
use anyhow::Context;
use clap::Args;
use container::heap;
use nn::Device;
use nn::checkpoint::Checkpoint;
use serde_json::json;

use super::measurement::median_of;
use crate::memory;
use crate::models::ComputeOptions;
use crate::pictures::sample;
use crate::terminal::progress::Progress;

#[derive(Debug, Args)]
pub(crate) struct BenchAging {
    #[command(flatten)]
    compute: ComputeOptions,
    /// Width and height of the network's pictures in pixels: 256, 512 or 1024
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = output_size)]
    size: usize,
    /// A folder with a checkpoint [default: made-up weights]
    #[arg(long, value_name = "FOLDER", conflicts_with = "size")]
    model: Option<PathBuf>,
    /// Number of ages in a strip
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    ages: u8,
    /// Number of strips; the median of their times is reported
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    json: bool,
}

fn output_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if sam::OUTPUT_SIZES.contains(&size) => Ok(size),
        _ => Err("256, 512 or 1024 works".to_owned()),
    }
}

pub(crate) fn run(bench: &BenchAging) -> anyhow::Result<()> {
    bench.compute.limit_threads()?;
    let device = bench.compute.device.find()?;
    let start = Instant::now();
    let checkpoint = match &bench.model {
        Some(folder) => Checkpoint::open(&aging::needed_checkpoint(folder)?)?,
        None => sam::made_up(bench.size),
    };
    // From here on, because made-up weights are freed again.
    if device == Device::Cpu {
        heap::keep_large_blocks();
    }
    let sam = Sam::load(&checkpoint, device, bench.compute.precision)?;
    // The file's mapped weights are not needed any more.
    drop(checkpoint);
    let size = sam.output_size();
    let load_seconds = start.elapsed().as_secs_f64();
    let engine = Engine::Sam(Box::new(sam));
    let portrait = portrait()?;
    let ages: Vec<u8> = (0..bench.ages).map(|index| 20 + 5 * index).collect();

    let mut progress = Progress::pieces("measuring");
    let runs = u64::from(bench.runs);
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut peaks = Vec::new();
    // The first run warms up and is not counted.
    for run in 0..=runs {
        let (portrait, start) = (portrait.clone(), Instant::now());
        let stages = strip::append(&engine, portrait, &ages, &mut Vec::new(), &|_| true)?;
        let seconds = start.elapsed().as_secs_f64();
        if run > 0 {
            times.entry("strip").or_default().push(seconds);
            stages.iter().for_each(|(stage, time)| times.entry(stage).or_default().push(time.as_secs_f64()));
            // Between the runs, since a machine's speed varies with time.
            peaks.push(nn::kernels::peak_operations() / 1e9);
        }
        progress.at(run, runs);
    }
    progress.finish();

    let seconds: BTreeMap<&str, f64> = times.into_iter().map(|(stage, times)| (stage, median_of(times))).collect();
    let Multiplications { pretrained_encoder, encoder, generator } = sam::multiplications(size);
    let ages = u64::from(bench.ages);
    let work = [
        ("pretrainedEncoder", pretrained_encoder),
        ("encoder", ages * encoder),
        ("generator", ages * generator),
        ("strip", pretrained_encoder + ages * (encoder + generator)),
    ];
    // The effective rate: all multiplications of the direct convolution, although kernels skip most of them.
    let gflops: BTreeMap<&str, f64> =
        work.iter().map(|(stage, count)| (*stage, 2.0 * *count as f64 / 1e9 / seconds[stage])).collect();
    let peak = median_of(peaks);
    if bench.json {
        let line = json!({
            "device": device.to_string(), "threads": rayon::current_num_threads(), "size": size, "ages": ages,
            "runs": runs, "loadSeconds": load_seconds, "seconds": seconds, "gflops": gflops, "peakGflops": peak,
            "peakMemoryBytes": memory::peak(),
        });
        print_line!("{line}")?;
        return Ok(());
    }
    let threads = rayon::current_num_threads();
    print_line!("a strip of {ages} ages at {0} x {0} on {device}, {threads} threads, median of {runs} runs", size)?;
    for (stage, _) in work {
        print_line!("  {stage:<18} {:>8.3} s {:>8.0} GFLOP/s of direct convolution", seconds[stage], gflops[stage])?;
    }
    print_line!("  {:<18} {:>8.0}   GFLOP/s on registers alone", "the cores", peak)?;
    let weights = if bench.model.is_some() { "reading the weights" } else { "making up the weights" };
    print_line!("  {:<18} {load_seconds:>8.3} s with {weights}", "loading")?;
    if let Some(bytes) = memory::peak() {
        print_line!("  {:<18} {:>8.1} MB", "peak memory", bytes as f64 / 1e6)?;
    }
    Ok(())
}

/// The sample portrait as the engine takes it.
fn portrait() -> anyhow::Result<Portrait> {
    let (name, photo) = sample::photo_or_sample(None)?;
    Aligner::load(&[], EngineKind::Sam)?.portrait(&photo).context(name)
}
