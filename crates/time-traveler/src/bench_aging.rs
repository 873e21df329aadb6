//! `bench aging`: how fast this machine runs the SAM engine.

use std::collections::BTreeMap;
use std::time::Instant;

use aging::sam::{self, Multiplications, Sam};
use aging::{Aligner, Engine, EngineKind, Portrait, strip};
use anyhow::Context;
use container::heap;
use nn::Device;
use nn::checkpoint::Checkpoint;
use serde_json::json;

use crate::bench;
use crate::cli::BenchAging;
use crate::progress::Progress;
use crate::{memory, threads};

pub(crate) fn run(bench: &BenchAging) -> anyhow::Result<()> {
    threads::limit(bench.threads)?;
    let device = bench.device.find()?;
    let start = Instant::now();
    let checkpoint = match &bench.model {
        Some(folder) => {
            let file = aging::checkpoint_file(folder)?;
            Checkpoint::open(&file.with_context(|| format!("{} has no checkpoint", folder.display()))?)?
        }
        None => sam::made_up(bench.size),
    };
    // From here on: weights that are made up are freed again.
    if device == Device::Cpu {
        heap::keep_large_blocks();
    }
    let sam = Sam::load(&checkpoint, device, bench.precision)?;
    // Mapped weights that are not used any more are not kept.
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
    // One more, which warms up and is not counted.
    for run in 0..=runs {
        let (portrait, start) = (portrait.clone(), Instant::now());
        let stages = strip::append(&engine, portrait, &ages, &mut Vec::new(), &|_| true)?;
        let seconds = start.elapsed().as_secs_f64();
        if run > 0 {
            times.entry("strip").or_default().push(seconds);
            stages.iter().for_each(|(stage, time)| times.entry(stage).or_default().push(time.as_secs_f64()));
            // In between, since a machine may be faster at one time than at another.
            peaks.push(nn::kernels::peak_operations() / 1e9);
        }
        progress.at(run, runs);
    }
    progress.finish();

    let seconds: BTreeMap<&str, f64> =
        times.into_iter().map(|(stage, times)| (stage, bench::median_of(times))).collect();
    let Multiplications { pretrained_encoder, encoder, generator } = sam::multiplications(size);
    let ages = u64::from(bench.ages);
    let work = [
        ("pretrainedEncoder", pretrained_encoder),
        ("encoder", ages * encoder),
        ("generator", ages * generator),
        ("strip", pretrained_encoder + ages * (encoder + generator)),
    ];
    // As if no kernel saved any.
    let gflops: BTreeMap<&str, f64> =
        work.iter().map(|(stage, count)| (*stage, 2.0 * *count as f64 / 1e9 / seconds[stage])).collect();
    let peak = bench::median_of(peaks);
    if bench.json {
        let line = json!({
            "device": device.to_string(), "threads": rayon::current_num_threads(), "size": size, "ages": ages,
            "runs": runs, "loadSeconds": load_seconds, "seconds": seconds, "gflops": gflops, "peakGflops": peak,
            "peakMemoryBytes": memory::peak(),
        });
        println!("{line}");
        return Ok(());
    }
    let threads = rayon::current_num_threads();
    println!("a strip of {ages} ages at {0} x {0} on {device}, {threads} threads, median of {runs} runs", size);
    for (stage, _) in work {
        println!("  {stage:<18} {:>8.3} s {:>8.0} GFLOP/s of direct convolution", seconds[stage], gflops[stage]);
    }
    println!("  {:<18} {:>8.0}   GFLOP/s on registers alone", "the cores", peak);
    let weights = if bench.model.is_some() { "reading the weights" } else { "making up the weights" };
    println!("  {:<18} {load_seconds:>8.3} s with {weights}", "loading");
    if let Some(bytes) = memory::peak() {
        println!("  {:<18} {:>8.1} MB", "peak memory", bytes as f64 / 1e6);
    }
    Ok(())
}

/// The sample portrait as the engine takes it.
fn portrait() -> anyhow::Result<Portrait> {
    let (name, photo) = bench::portrait(None)?;
    Aligner::load(&[], EngineKind::Sam)?.portrait(&photo).context(name)
}
