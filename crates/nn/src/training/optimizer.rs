//! The optimizers of TensorFlow 1, which differ from others in where they add their epsilons and in how they begin.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::checkpoint::{Checkpoint, CheckpointError, StoredTensor};
use crate::parameters::{Parameters, tensor, values};
use crate::pass::Gradients;

/// The rule of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `MomentumOptimizer`: gradients accumulate, and the rate multiplies their sum.
    Momentum {
        /// The share of the sum that stays.
        momentum: f64,
    },
    /// `RMSPropOptimizer`: the mean of squares begins with 1, and epsilon is added to it, under the root.
    RmsProp {
        /// The share of the mean of squares that stays.
        decay: f64,
        /// The share of the last change that stays.
        momentum: f64,
        /// What is added to the mean of squares.
        epsilon: f64,
    },
    /// `AdamOptimizer` (Kingma and Ba 2015, arXiv 1412.6980): epsilon is added to the root before its bias is corrected, the
    /// "epsilon hat" of the paper.
    Adam {
        /// The share of the first moment that stays.
        beta1: f64,
        /// The share of the second moment that stays.
        beta2: f64,
        /// What is added to the root of the second moment.
        epsilon: f64,
    },
}

/// An optimizer of TensorFlow 1 with what it keeps for each parameter.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    /// For each parameter, what the rule calls its two slots. Momentum has one.
    slots: BTreeMap<String, [Tensor<1>; 2]>,
    /// The steps so far.
    steps: i32,
}

impl Optimizer {
    /// Before the first step.
    pub fn new(rule: Rule) -> Self {
        Self { rule, slots: BTreeMap::new(), steps: 0 }
    }

    /// Updates all parameters that have a gradient. `decay` is what the square of a parameter adds to the loss, halved (L2
    /// regularization), and `longest` the length that a parameter's gradient is cut to.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: Gradients,
        rate: f64,
        decay: impl Fn(&str) -> f64,
        longest: Option<f64>,
    ) {
        self.steps = self.steps.saturating_add(1);
        for (name, gradient) in gradients {
            let decay = decay(&name);
            let gradient = if decay == 0.0 { gradient } else { gradient + parameters.tensor(&name) * decay };
            let gradient = match longest {
                Some(longest) => shortened(gradient, longest),
                None => gradient,
            };
            let zeros = || Tensor::zeros(gradient.dims(), &gradient.device());
            let first = if matches!(self.rule, Rule::RmsProp { .. }) { zeros() + 1.0 } else { zeros() };
            let [mut one, mut other] = self.slots.remove(&name).unwrap_or_else(|| [first, zeros()]);
            let change = match self.rule {
                Rule::Momentum { momentum } => {
                    one = one * momentum + gradient;
                    one.clone() * rate
                }
                Rule::RmsProp { decay, momentum, epsilon } => {
                    one = one * decay + gradient.clone().square() * (1.0 - decay);
                    other = other * momentum + gradient * rate / (one.clone() + epsilon).sqrt();
                    other.clone()
                }
                Rule::Adam { beta1, beta2, epsilon } => {
                    one = one * beta1 + gradient.clone() * (1.0 - beta1);
                    other = other * beta2 + gradient.square() * (1.0 - beta2);
                    let corrected = (1.0 - beta2.powi(self.steps)).sqrt() / (1.0 - beta1.powi(self.steps));
                    one.clone() * (rate * corrected) / (other.clone().sqrt() + epsilon)
                }
            };
            parameters.update(&name, |value| value - change);
            self.slots.insert(name, [one, other]);
        }
    }

    /// What it keeps, as a checkpoint: `NAME.slot_1`, `NAME.slot_2`, and `steps`.
    pub fn checkpoint(&self, name: &str) -> Checkpoint {
        let stored = |tensor: &Tensor<1>| {
            let tensor = tensor.clone();
            StoredTensor::computed(tensor.dims().to_vec(), move || values(tensor.clone()))
        };
        let slots = self.slots.iter().flat_map(|(name, [one, other])| {
            [(format!("{name}.slot_1"), stored(one)), (format!("{name}.slot_2"), stored(other))]
        });
        let steps = self.steps as f32;
        let steps = ("steps".to_owned(), StoredTensor::computed(vec![1], move || vec![steps]));
        Checkpoint::computed(name, slots.chain([steps]))
    }

    /// Takes over what a checkpoint has that [`checkpoint`](Self::checkpoint) has made.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`]: a tensor that cannot be read.
    pub fn restore(&mut self, parameters: &Parameters, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.slots.clear();
        self.steps = match checkpoint.tensors().contains_key("steps") {
            true => checkpoint.floats("steps")?.first().map_or(0, |steps| *steps as i32),
            false => 0,
        };
        for (name, shape) in parameters.trained() {
            let count: usize = shape.iter().product();
            let [one, other] = ["slot_1", "slot_2"].map(|slot| format!("{name}.{slot}"));
            let fits = |slot: &String| checkpoint.tensors().get(slot).is_some_and(|stored| stored.elements() == count);
            if fits(&one) && fits(&other) {
                let read = |slot: &str| checkpoint.floats(slot).map(|values| tensor(values, parameters.device()));
                self.slots.insert(name.to_owned(), [read(&one)?, read(&other)?]);
            }
        }
        Ok(())
    }
}

/// `tf.clip_by_norm`.
fn shortened(gradient: Tensor<1>, longest: f64) -> Tensor<1> {
    let length: f32 = gradient.clone().square().sum().sqrt().into_scalar();
    if f64::from(length) > longest { gradient * (longest / f64::from(length)) } else { gradient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, weights::Weights};

    fn parameters(value: f32) -> Parameters {
        let checkpoint =
            Checkpoint::computed("test", [("a".to_owned(), StoredTensor::computed(vec![2], move || vec![value, 0.0]))]);
        Parameters::load(&checkpoint, Device::Cpu, |weights: &Weights| weights.tensor::<1>("a", [2])).unwrap()
    }

    /// The first value after some steps with these gradients, in 64 bits by the rules of TensorFlow's documentation.
    fn after(rule: Rule, gradients: &[f64], rate: f64) -> f64 {
        let (mut value, mut one, mut other) = (1.0, if matches!(rule, Rule::RmsProp { .. }) { 1.0 } else { 0.0 }, 0.0);
        for (step, gradient) in gradients.iter().enumerate() {
            let step = step as i32 + 1;
            match rule {
                Rule::Momentum { momentum } => {
                    one = momentum * one + gradient;
                    value -= rate * one;
                }
                Rule::RmsProp { decay, momentum, epsilon } => {
                    one = decay * one + (1.0 - decay) * gradient * gradient;
                    other = momentum * other + rate * gradient / (one + epsilon).sqrt();
                    value -= other;
                }
                Rule::Adam { beta1, beta2, epsilon } => {
                    one = beta1 * one + (1.0 - beta1) * gradient;
                    other = beta2 * other + (1.0 - beta2) * gradient * gradient;
                    let rate = rate * (1.0 - beta2.powi(step)).sqrt() / (1.0 - beta1.powi(step));
                    value -= rate * one / (other.sqrt() + epsilon);
                }
            }
        }
        value
    }

    #[test]
    fn steps_follow_the_rules_and_go_on_from_a_checkpoint() {
        let rules = [
            Rule::Momentum { momentum: 0.9 },
            Rule::RmsProp { decay: 0.9, momentum: 0.9, epsilon: 1.0 },
            Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-2 },
        ];
        let gradients = [0.5, -0.25, 2.0, 0.125];
        for rule in rules {
            let (mut parameters, mut optimizer) = (parameters(1.0), Optimizer::new(rule));
            for gradient in gradients {
                let (restored, mut next) = (optimizer.checkpoint("slots"), Optimizer::new(rule));
                next.restore(&parameters, &restored).unwrap();
                let values = tensor(vec![gradient as f32, 0.0], parameters.device());
                next.step(&mut parameters, [("a".to_owned(), values)].into(), 0.1, |_| 0.0, None);
                optimizer = next;
            }
            let found = values(parameters.tensor("a"));
            assert!((f64::from(found[0]) - after(rule, &gradients, 0.1)).abs() < 1e-6, "{rule:?}: {found:?}");
            assert_eq!(found[1], 0.0);
        }
    }

    #[test]
    fn decay_adds_to_gradients_and_long_ones_are_cut() {
        let mut parameters = parameters(3.0);
        let mut optimizer = Optimizer::new(Rule::Momentum { momentum: 0.0 });
        let nothing = tensor(vec![0.0, 0.0], parameters.device());
        optimizer.step(&mut parameters, [("a".to_owned(), nothing)].into(), 1.0, |_| 0.5, None);
        assert_eq!(values(parameters.tensor("a")), [1.5, 0.0]);
        let long = tensor(vec![30.0, 40.0], parameters.device());
        optimizer.step(&mut parameters, [("a".to_owned(), long)].into(), 1.0, |_| 0.0, Some(5.0));
        assert_eq!(values(parameters.tensor("a")), [1.5 - 3.0, -4.0]);
    }
}
