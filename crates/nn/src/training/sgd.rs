//! Stochastic gradient descent with momentum.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use super::adam_w::Group;
use crate::checkpoint::{Checkpoint, CheckpointError, StoredTensor};
use crate::device::is_gpu;
use crate::kernels::gradients::{SgdStep, sgd};
use crate::parameters::{Parameters, tensor, values};
use crate::pass::Gradients;

/// What `NAME` of a parameter's velocity ends in, in a checkpoint.
const VELOCITY: &str = "velocity";

/// `torch.optim.SGD` with momentum: the weight decay is part of the gradient, and the learning rate no part of the velocity. Rate,
/// momentum and decay may change from step to step.
#[derive(Debug, Default)]
pub struct Sgd {
    velocities: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    /// Updates all parameters that have a gradient. `group` is asked for each name.
    pub fn step(&mut self, parameters: &mut Parameters, gradients: Gradients, group: impl Fn(&str) -> Group) {
        let rule: Update = if is_gpu(parameters.device()) { apply } else { apply_in_place };
        for (name, gradient) in gradients {
            let Group { rate, momentum, decay } = group(&name);
            let step = SgdStep { rate: rate as f32, momentum: momentum as f32, decay: decay as f32 };
            let zeros = || Tensor::zeros(gradient.dims(), &gradient.device());
            // From zero, the first velocity is the gradient itself.
            let mut velocity = self.velocities.remove(&name).unwrap_or_else(zeros);
            parameters.update(&name, |value| rule(step, value, gradient, &mut velocity));
            self.velocities.insert(name, velocity);
        }
    }

    /// The velocities as a checkpoint: `NAME.velocity`.
    pub fn checkpoint(&self, name: &str) -> Checkpoint {
        let stored = |(name, velocity): (&String, &Tensor<1>)| {
            let velocity = velocity.clone();
            let stored = StoredTensor::computed(velocity.dims().to_vec(), move || values(velocity.clone()));
            (format!("{name}.{VELOCITY}"), stored)
        };
        Checkpoint::computed(name, self.velocities.iter().map(stored))
    }

    /// Takes the velocities out of a checkpoint that [`checkpoint`](Self::checkpoint) has made, for the trained parameters that it
    /// has them for.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`]: a tensor that cannot be read.
    pub fn restore(&mut self, parameters: &Parameters, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let device: &Device = parameters.device();
        self.velocities.clear();
        for (name, shape) in parameters.trained() {
            let stored = format!("{name}.{VELOCITY}");
            let count: usize = shape.iter().product();
            if checkpoint.tensors().get(&stored).is_some_and(|stored| stored.elements() == count) {
                self.velocities.insert(name.to_owned(), tensor(checkpoint.floats(&stored)?, device));
            }
        }
        Ok(())
    }
}

/// Updates a value and its velocity.
type Update = fn(SgdStep, Tensor<1>, Tensor<1>, &mut Tensor<1>) -> Tensor<1>;

/// With Burn's operations.
fn apply(step: SgdStep, value: Tensor<1>, gradient: Tensor<1>, velocity: &mut Tensor<1>) -> Tensor<1> {
    let SgdStep { rate, momentum, decay } = step;
    *velocity = velocity.clone() * momentum + (gradient + value.clone() * decay);
    value - velocity.clone() * rate
}

/// In place, on the CPU.
fn apply_in_place(step: SgdStep, value: Tensor<1>, gradient: Tensor<1>, velocity: &mut Tensor<1>) -> Tensor<1> {
    let device = value.device();
    let mut velocity_values = values(std::mem::replace(velocity, Tensor::zeros([1], &device)));
    let mut new = values(value);
    let gradient = gradient.into_data();
    let gradient = gradient.as_slice::<f32>().expect("gradients are float32");
    sgd(step, &mut new, gradient, &mut velocity_values);
    *velocity = tensor(velocity_values, &device);
    tensor(new, &device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_place_equals_burn() {
        let device = Device::flex();
        let of = |values: &[f32]| tensor(values.to_vec(), &device);
        let step = SgdStep { rate: 0.1, momentum: 0.9, decay: 0.01 };
        let mut states = [of(&[1.0, -2.0, 3.0]), of(&[1.0, -2.0, 3.0])];
        let mut velocities = [of(&[0.0; 3]), of(&[0.0; 3])];
        for gradient in [[0.5, 0.25, -1.0], [2.0, -0.5, 0.0]] {
            for (index, rule) in [apply as Update, apply_in_place].into_iter().enumerate() {
                states[index] = rule(step, states[index].clone(), of(&gradient), &mut velocities[index]);
            }
        }
        let close = |pair: &[Tensor<1>; 2]| {
            let [one, other] = pair.clone().map(values);
            one.iter().zip(&other).all(|(one, other)| (one - other).abs() < 1e-6)
        };
        assert!(close(&states) && close(&velocities), "{states:?} {velocities:?}");
        // By hand: the velocities are 0.51 and 0.9 * 0.51 + 2 + 0.01 * 0.949.
        let [first, ..] = values(states[1].clone())[..] else { panic!("three values") };
        assert!((first - (1.0 - 0.051 - 0.246849)).abs() < 1e-5, "{first}");
    }
}
