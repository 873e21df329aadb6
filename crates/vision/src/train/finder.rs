//! The search for a learning rate (Smith 2017, arXiv 1506.01186), as fastai v1 has it.

use std::thread;

use nn::layers::{Execution, Loader};
use nn::{AdamW, Group, Parameters};

use super::batches::{EpochOf, batches};
use super::error::TrainError;
use super::plan::Plan;
use super::task::{Losses, Task};
use super::trainer::number;

/// The first and the last rate, and the steps between them.
const RATES: [f64; 2] = [1e-7, 10.0];
const STEPS: usize = 100;
/// The share of what came before in the smoothed loss.
const SMOOTHING: f64 = 0.98;
/// The steps over which the loss falls.
const WINDOW: usize = 11;
/// The momentum of all steps.
const MOMENTUM: f64 = 0.95;

/// The losses of rising rates.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Rate and smoothed loss of each step.
    pub losses: Vec<(f64, f64)>,
}

impl Finding {
    /// The rate in the middle of the steps over which the loss falls most; `None` where it never falls.
    pub fn suggestion(&self) -> Option<f64> {
        // The first losses are hardly smoothed.
        let windows = self.losses.get(WINDOW..)?.windows(WINDOW);
        let fall = |steps: &[(f64, f64)]| (steps[WINDOW - 1].1 - steps[0].1, steps[WINDOW / 2].0);
        let (change, rate) = windows.map(fall).min_by(|a, b| a.0.total_cmp(&b.0))?;
        (change < 0.0).then_some(rate)
    }
}

/// Trains a copy of the parameters, as in the plan's first phase, with a rate that rises from step to step, until the loss is four
/// times the smallest one.
///
/// # Errors
/// [`TrainError::NoExamples`].
pub fn find_rate<T: Task>(
    task: &T,
    plan: &Plan,
    parameters: &Parameters,
    execution: Execution,
) -> Result<Finding, TrainError> {
    if task.examples() == 0 {
        return Err(TrainError::NoExamples);
    }
    let mut parameters = parameters.clone();
    parameters.freeze(|name| task.is_frozen(name, 0));
    let mut optimizer = AdamW::new(plan.beta2, plan.epsilon);
    let mut losses: Vec<(f64, f64)> = Vec::new();
    let (mut mean, mut best) = (0.0, f64::INFINITY);
    for epoch in 0.. {
        let of = EpochOf { plan, epoch };
        let ended = thread::scope(|scope| {
            for (batch, made) in batches(scope, task, of, 0).into_iter().enumerate() {
                if made.samples.len() < 2 {
                    // An epoch of spoiled examples would have no end.
                    return epoch > 0 && losses.is_empty();
                }
                let step = losses.len();
                let rate = RATES[0] * (RATES[1] / RATES[0]).powf(step as f64 / (STEPS - 1) as f64);
                let random = of.step(batch);
                let pass = parameters.pass(random.clone().bits());
                let network = pass.network(|weights| task.network(&Loader::new(weights, execution)));
                let Losses { total, parts } = task.losses(&network, made.samples, random, pass.device());
                drop((network, parts));
                let loss = f64::from(number(total.clone()));
                let (gradients, statistics) = pass.backward(total);
                parameters.apply(statistics);
                optimizer.step(&mut parameters, gradients, |_| Group { rate, momentum: MOMENTUM, decay: plan.decay });
                mean = SMOOTHING * mean + (1.0 - SMOOTHING) * loss;
                let smoothed = mean / (1.0 - SMOOTHING.powi(step as i32 + 1));
                best = smoothed.min(best);
                if !smoothed.is_finite() || (step > 0 && smoothed > 4.0 * best) {
                    return true;
                }
                losses.push((rate, smoothed));
                if losses.len() == STEPS {
                    return true;
                }
            }
            false
        });
        if ended {
            break;
        }
    }
    Ok(Finding { losses })
}
