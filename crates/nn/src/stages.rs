//! Times of the stages of a computation.

use std::time::{Duration, Instant};

/// The time that each stage of a computation took, in the order of their first runs.
#[derive(Clone, Debug, Default)]
pub struct Stages(Vec<(&'static str, Duration)>);

impl Stages {
    /// Runs `work` and adds its time to a stage.
    pub fn measure<T>(&mut self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(stage, start.elapsed());
        result
    }

    /// Adds time to a stage, where the work cannot be done inside [`measure`](Self::measure), as in asynchronous code.
    pub fn add(&mut self, stage: &'static str, elapsed: Duration) {
        match self.0.iter_mut().find(|(name, _)| *name == stage) {
            Some((_, total)) => *total += elapsed,
            None => self.0.push((stage, elapsed)),
        }
    }

    /// The stages and their times.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Duration)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_runs_again_is_one_stage() {
        let mut stages = Stages::default();
        assert_eq!(stages.measure("first", || 1) + stages.measure("second", || 2) + stages.measure("first", || 3), 6);
        let names: Vec<&str> = stages.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["first", "second"]);
    }
}
