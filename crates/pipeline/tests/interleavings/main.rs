//! Every interleaving of uploads, events and deletions, over the pure decisions.
//!
//! `world.rs` models S3, the table and the functions: each step of a function is one request to one of them, in the order of
//! `lambda`'s `upload.rs`, `invoke.rs`, `settle.rs`, `sweep.rs` and `deletion.rs`. All reachable states are visited: events arrive
//! late, reordered and twice, functions crash between any two steps, the sweep runs at any time, and time passes.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use std::collections::HashSet;

use world::{Act, Limits, Mistake, Step, Violation, World};

use Act::{Abandon, Delete, Put};

/// Visits every state that a client's acts can lead to. Returns the number of states, or the first violation with the steps to it.
fn explore(acts: &[Act], limits: Limits, mistake: Option<Mistake>) -> Result<usize, (Violation, Vec<String>)> {
    let start = World::new(acts, limits, mistake);
    let mut seen = HashSet::from([start.fingerprint()]);
    // The states on the way to the present one, each with the steps that are still to be tried. The last one tried led on.
    let mut path: Vec<(World, Vec<Step>, Option<Step>)> = vec![(start.clone(), start.steps(), None)];
    while let Some((world, steps, tried)) = path.last_mut() {
        *tried = steps.pop();
        let Some(step) = *tried else {
            path.pop();
            continue;
        };
        let next = world.after(step);
        if !seen.insert(next.fingerprint()) {
            continue;
        }
        let steps = next.steps();
        if let Some(violation) = next.violation(steps.is_empty()) {
            let words = path.iter().filter_map(|(world, _, tried)| Some(world.describe((*tried)?)));
            return Err((violation, words.collect()));
        }
        path.push((next, steps, None));
    }
    Ok(seen.len())
}

/// Uploads of photograph 0 or 1, and deletions.
const STORIES: [&[Act]; 8] = [
    &[Put(0), Delete],
    &[Put(0), Delete, Put(0)],
    &[Put(0), Put(0), Delete],
    &[Put(0), Put(1), Delete],
    &[Put(0), Delete, Put(1)],
    &[Put(0), Abandon, Put(0)],
    &[Put(0), Put(1), Delete, Put(0)],
    &[Put(0), Delete, Put(0), Delete],
];

/// Visits every state of the first stories, or of all with `INTERLEAVINGS=all`, which takes some twenty minutes.
fn none_is_violated(stories: usize, limits: Limits) {
    let all = std::env::var("INTERLEAVINGS").is_ok_and(|which| which == "all");
    for acts in &STORIES[..if all { STORIES.len() } else { stories }] {
        match explore(acts, limits, None) {
            Ok(states) => println!("{acts:?}: {states} states"),
            Err((violation, steps)) => panic!("{acts:?}: {violation:?}\n{}", steps.join("\n")),
        }
    }
}

#[test]
fn a_deletion_holds_with_late_and_reordered_events() {
    none_is_violated(6, Limits { duplicates: 0, crashes: 0, ticks: 0, answers: 0 });
}

#[test]
fn a_deletion_holds_while_the_model_answers() {
    none_is_violated(2, Limits { duplicates: 0, crashes: 0, ticks: 0, answers: 1 });
}

#[test]
fn a_deletion_holds_with_duplicate_events() {
    none_is_violated(2, Limits { duplicates: 1, crashes: 0, ticks: 0, answers: 0 });
}

#[test]
fn a_deletion_holds_when_functions_crash() {
    none_is_violated(2, Limits { duplicates: 0, crashes: 1, ticks: 1, answers: 0 });
}

/// Asserts that a mistake leads to a violation.
#[track_caller]
fn is_found(mistake: Mistake, acts: &[Act], limits: Limits) {
    let found = explore(acts, limits, Some(mistake));
    let (violation, steps) = found.expect_err("no violation");
    println!("{mistake:?}: {acts:?}: {violation:?}\n  {}", steps.join("\n  "));
}

#[test]
fn every_mistake_is_found() {
    let plain = Limits { duplicates: 0, crashes: 0, ticks: 0, answers: 0 };
    is_found(Mistake::NoTombstone, &[Put(0), Delete], plain);
    is_found(Mistake::LookBeforeRead, &[Put(0), Delete], plain);
    is_found(Mistake::MarkBeforeRemoval, &[Put(0), Delete], plain);
    is_found(Mistake::KeepUpload, &[Put(0), Put(1), Delete], plain);
    is_found(Mistake::NoMarkIfNothing, &[Put(0), Delete], Limits { crashes: 1, ..plain });
    is_found(Mistake::NoWait, &[Put(0), Abandon, Put(0)], Limits { answers: 2, ..plain });
    is_found(Mistake::NoSequencer, &[Put(0), Delete, Put(0)], Limits { crashes: 1, ticks: 1, answers: 2, ..plain });
}
