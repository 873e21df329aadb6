//! Stochastic gradient descent with momentum.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use super::adam_w::Group;
use crate::checkpoint::{Checkpoint, CheckpointError, StoredTensor};
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
        for (name, gradient) in gradients {
            let Group { rate, momentum, decay } = group(&name);
            let velocity = self.velocities.remove(&name);
            let mut kept = None;
            parameters.update(&name, |value| {
                let gradient = gradient + value.clone() * decay;
                let velocity = match velocity {
                    // The first velocity is the gradient itself.
                    None => gradient,
                    Some(velocity) => velocity * momentum + gradient,
                };
                kept = Some(velocity.clone());
                value - velocity * rate
            });
            self.velocities.extend(kept.map(|velocity| (name, velocity)));
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
