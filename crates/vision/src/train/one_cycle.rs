//! The one-cycle schedule (Smith 2018, arXiv 1803.09820), as fastai v1 has it.

/// The share of the steps in which the rate rises.
const RISE: f64 = 0.3;
/// What the largest rate is divided by at the start.
const DIVISOR: f64 = 25.0;
/// What it is divided by at the end.
const FINAL_DIVISOR: f64 = DIVISOR * 1e4;
/// The momentum at the ends, and where the rate is largest.
const MOMENTA: [f64; 2] = [0.95, 0.85];

/// One cycle: rates rise by a cosine from a 25th of the largest, and fall to a 250,000th. Momentum falls and rises against them.
#[derive(Clone, Debug, PartialEq)]
pub struct OneCycle {
    steps: usize,
    /// The largest rate of each group.
    rates: Vec<f64>,
}

/// What is in effect in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct InEffect {
    /// The learning rate of each group.
    pub rates: Vec<f64>,
    /// The decay of the first moment.
    pub momentum: f64,
}

impl OneCycle {
    /// Over some steps, with the largest rate of each group.
    pub fn new(steps: usize, rates: Vec<f64>) -> Self {
        Self { steps, rates }
    }

    /// What is in effect in a step, from 0. The end values are reached only after the last step.
    pub fn at(&self, step: usize) -> InEffect {
        let rise = (RISE * self.steps as f64) as usize;
        let fall = self.steps - rise;
        let rise = rise.max(1);
        if step < rise {
            let done = step as f64 / rise as f64;
            self.between([1.0 / DIVISOR, 1.0], MOMENTA, done)
        } else {
            let done = (step - rise) as f64 / fall.max(1) as f64;
            self.between([1.0, 1.0 / FINAL_DIVISOR], [MOMENTA[1], MOMENTA[0]], done)
        }
    }

    fn between(&self, shares: [f64; 2], momenta: [f64; 2], done: f64) -> InEffect {
        let rates = self.rates.iter().map(|rate| cosine(shares.map(|share| rate * share), done)).collect();
        InEffect { rates, momentum: cosine(momenta, done) }
    }
}

/// From a start to an end by half a cosine.
fn cosine([start, end]: [f64; 2], done: f64) -> f64 {
    end + (start - end) / 2.0 * ((std::f64::consts::PI * done).cos() + 1.0)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::golden::{json, numbers, rows};

    #[test]
    fn every_step_is_that_of_fastai() {
        let golden = json("train/one_cycle.json");
        for name in ["frozen", "unfrozen", "short_7", "short_3", "short_1"] {
            let case: &Value = &golden[name];
            let cycle = OneCycle::new(case["n"].as_u64().unwrap() as usize, numbers(&case["lr_max"]));
            let momenta = numbers(&case["mom"]);
            for (step, expected) in rows::<3>(&case["lr"]).into_iter().enumerate() {
                let InEffect { rates, momentum } = cycle.at(step);
                for (found, expected) in
                    rates.into_iter().chain([momentum]).zip(expected.into_iter().chain([momenta[step]]))
                {
                    assert!((found / expected - 1.0).abs() < 1e-12, "{name}, step {step}: {found}, not {expected}");
                }
            }
        }
    }
}
