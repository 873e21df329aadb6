//! Learning rates by step: `learning_schedules.py` of the Object Detection API.

use std::f64::consts::PI;

use super::super::config::{ConfigError, Fields};

/// A learning rate that changes from step to step.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// The same in every step.
    Constant(f64),
    /// A rate that is multiplied by a factor again and again.
    Exponential {
        /// The first rate.
        initial: f64,
        /// The steps after which it is multiplied.
        every: f64,
        /// The factor.
        factor: f64,
        /// Whether the rate stays the same between two multiplications. Else it falls in every step.
        staircase: bool,
        /// The least rate.
        least: f64,
        /// The rate and the steps of the beginning, if it has another.
        burn_in: Option<(f64, usize)>,
    },
    /// From a rate up in a line, and down along half a cosine to 0 at the last step.
    Cosine {
        /// The largest rate.
        base: f64,
        /// The steps of all.
        total: usize,
        /// The first rate.
        warm_up: f64,
        /// The steps until the largest rate.
        warm_up_steps: usize,
        /// The steps that the largest rate lasts.
        hold: usize,
    },
    /// Rates from some steps on.
    Manual {
        /// The first rate.
        initial: f64,
        /// Steps, and the rates from there on.
        steps: Vec<(usize, f64)>,
        /// Whether the first rate changes in a line to the second.
        warm_up: bool,
    },
}

impl Schedule {
    /// Reads the message `learning_rate`.
    pub(super) fn read(message: &Fields) -> Result<Self, ConfigError> {
        let names = [
            "exponential_decay_learning_rate",
            "cosine_decay_learning_rate",
            "manual_step_learning_rate",
            "constant_learning_rate",
        ];
        let (name, rate) = message.one_of(&names, "cosine_decay_learning_rate { ... }")?;
        let number = |fields: &Fields, name: &str, default: f64| {
            fields.number(name, default, "a number of 0 to 1000", |value: &f64| (0.0..=1000.0).contains(value))
        };
        let steps = |fields: &Fields, name: &str, default: usize| {
            fields.number(name, default, "a number of 0 to 1000000000", |value: &usize| *value <= 1_000_000_000)
        };
        let schedule = match name {
            "exponential_decay_learning_rate" => {
                let (burn_in, burn_in_steps) =
                    (number(&rate, "burnin_learning_rate", 0.0)?, steps(&rate, "burnin_steps", 0)?);
                let initial = number(&rate, "initial_learning_rate", 0.002)?;
                let burn_in = if burn_in == 0.0 { initial } else { burn_in };
                Self::Exponential {
                    initial,
                    every: steps(&rate, "decay_steps", 4_000_000)?.max(1) as f64,
                    factor: number(&rate, "decay_factor", 0.95)?,
                    staircase: rate.flag("staircase", true)?,
                    least: number(&rate, "min_learning_rate", 0.0)?,
                    burn_in: (burn_in_steps > 0).then_some((burn_in, burn_in_steps)),
                }
            }
            "cosine_decay_learning_rate" => Self::Cosine {
                base: number(&rate, "learning_rate_base", 0.002)?,
                total: steps(&rate, "total_steps", 4_000_000)?,
                warm_up: number(&rate, "warmup_learning_rate", 0.0002)?,
                warm_up_steps: steps(&rate, "warmup_steps", 10_000)?,
                hold: steps(&rate, "hold_base_rate_steps", 0)?,
            },
            "manual_step_learning_rate" => {
                let mut all = Vec::new();
                for step in rate.messages("schedule")? {
                    all.push((steps(&step, "step", 0)?, number(&step, "learning_rate", 0.002)?));
                    step.finish()?;
                }
                Self::Manual {
                    initial: number(&rate, "initial_learning_rate", 0.002)?,
                    steps: all,
                    warm_up: rate.flag("warmup", false)?,
                }
            }
            _ => Self::Constant(number(&rate, "learning_rate", 0.002)?),
        };
        rate.finish()?;
        Ok(schedule)
    }

    /// The rate of a step, from 0.
    pub fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(rate) => *rate,
            Self::Exponential { initial, every, factor, staircase, least, burn_in } => {
                let (burn_in_rate, burn_in_steps) = burn_in.unwrap_or((0.0, 0));
                if step < burn_in_steps {
                    return burn_in_rate;
                }
                let periods = (step - burn_in_steps) as f64 / every;
                let periods = if *staircase { periods.floor() } else { periods };
                (initial * factor.powf(periods)).max(*least)
            }
            Self::Cosine { base, total, warm_up, warm_up_steps, hold } => {
                if step < *warm_up_steps {
                    return warm_up + (base - warm_up) / *warm_up_steps as f64 * step as f64;
                }
                if step > *total {
                    return 0.0;
                }
                let begins = warm_up_steps + hold;
                if step <= begins {
                    return *base;
                }
                let share = (step - begins) as f64 / (total - begins).max(1) as f64;
                0.5 * base * (1.0 + (PI * share).cos())
            }
            Self::Manual { initial, steps, warm_up } => {
                if let (true, Some((first, rate))) = (*warm_up, steps.first())
                    && step < *first
                {
                    return initial + (rate - initial) / *first as f64 * step as f64;
                }
                steps.iter().rev().find(|(from, _)| step >= *from).map_or(*initial, |(_, rate)| *rate)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_schedules() {
        let exponential = Schedule::Exponential {
            initial: 1.0,
            every: 10.0,
            factor: 0.5,
            staircase: true,
            least: 0.1,
            burn_in: Some((0.25, 5)),
        };
        assert_eq!(
            [0, 4, 5, 14, 15, 25, 1000].map(|step| exponential.at(step)),
            [0.25, 0.25, 1.0, 1.0, 0.5, 0.25, 0.1]
        );
        let cosine = Schedule::Cosine { base: 1.0, total: 100, warm_up: 0.2, warm_up_steps: 20, hold: 0 };
        let near =
            |step: usize, rate: f64| assert!((cosine.at(step) - rate).abs() < 1e-12, "{step}: {}", cosine.at(step));
        near(0, 0.2);
        near(10, 0.6);
        near(20, 1.0);
        near(60, 0.5);
        near(100, 0.0);
        near(101, 0.0);
        let manual = Schedule::Manual { initial: 1.0, steps: vec![(10, 0.1), (20, 0.01)], warm_up: false };
        assert_eq!([0, 9, 10, 19, 20, 99].map(|step| manual.at(step)), [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]);
        assert_eq!(Schedule::Constant(0.5).at(7), 0.5);
    }
}
