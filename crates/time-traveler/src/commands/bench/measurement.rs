//! Times of repeated work, and how they are reported.

use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::processor;

/// The median time of a piece of work in milliseconds, after one run that warms up.
pub(super) fn median(runs: usize, work: impl Fn()) -> f64 {
    work();
    let timed = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    };
    median_of((0..runs).map(timed).collect())
}

/// The same, and the mean time of the processor in milliseconds, of all threads. `None` where the system does not report it.
pub(super) fn measured(runs: usize, work: impl Fn()) -> (f64, Option<f64>) {
    let before = processor::used();
    let time = median(runs, work);
    let used = processor::used().zip(before).map(|(after, before)| (after - before).as_secs_f64() * 1e3);
    // The median has one run more, which warms up.
    (time, used.map(|milliseconds| milliseconds / (runs + 1) as f64))
}

/// The median of at least one value; of an even number, the upper one of the two in the middle.
pub(super) fn median_of(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints times in milliseconds, then further figures.
pub(super) fn report(as_json: bool, runs: usize, times: &[(&str, f64)], more: &[(&str, Value)]) -> anyhow::Result<()> {
    let threads = rayon::current_num_threads();
    if as_json {
        let milliseconds: Map<String, Value> = times.iter().map(|(name, time)| ((*name).into(), json!(time))).collect();
        let mut line = json!({"threads": threads, "runs": runs, "milliseconds": milliseconds});
        more.iter().for_each(|(name, value)| line[*name] = value.clone());
        return print_line!("{line}");
    }
    print_line!("median of {runs} runs on {threads} threads")?;
    times.iter().try_for_each(|(name, time)| print_line!("  {name:<20} {time:>8.2} ms"))?;
    more.iter().try_for_each(|(name, value)| print_line!("  {name:<20} {value}"))
}
