//! Adam with decoupled weight decay.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use crate::checkpoint::{Checkpoint, CheckpointError, StoredTensor};
use crate::device::is_gpu;
use crate::kernels::gradients::{AdamStep, adam};
use crate::parameters::{Parameters, tensor, values};

use crate::pass::Gradients;

/// What a tensor is updated with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// The learning rate.
    pub rate: f64,
    /// The decay of the first moment: `beta1`, momentum.
    pub momentum: f64,
    /// The weight decay: the share of a weight that a rate of 1 takes away.
    pub decay: f64,
}

/// Adam (Kingma and Ba 2015, arXiv 1412.6980) with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101), as
/// fastai and PyTorch have it: a tensor is multiplied by `1 - rate * decay`, then the step is subtracted. Rate and momentum may
/// change from step to step.
#[derive(Debug)]
pub struct AdamW {
    /// The decay of the second moment: `beta2`.
    pub beta2: f64,
    /// What is added to the root of the second moment.
    pub epsilon: f64,
    moments: BTreeMap<String, Moments>,
}

#[derive(Debug)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
    steps: u32,
}

impl AdamW {
    /// Without moments yet.
    pub fn new(beta2: f64, epsilon: f64) -> Self {
        Self { beta2, epsilon, moments: BTreeMap::new() }
    }

    /// Updates all parameters that have a gradient. `group` is asked for each name.
    pub fn step(&mut self, parameters: &mut Parameters, gradients: Gradients, group: impl Fn(&str) -> Group) {
        for (name, gradient) in gradients {
            let Group { rate, momentum, decay } = group(&name);
            let zeros = || Tensor::zeros(gradient.dims(), &gradient.device());
            let moments =
                self.moments.remove(&name).unwrap_or_else(|| Moments { first: zeros(), second: zeros(), steps: 0 });
            let steps = moments.steps + 1;
            let corrected = |beta: f64| 1.0 - beta.powi(i32::try_from(steps).unwrap_or(i32::MAX));
            let step = AdamStep {
                beta1: momentum as f32,
                beta2: self.beta2 as f32,
                kept: (1.0 - rate * decay) as f32,
                rate: (rate / corrected(momentum)) as f32,
                root: (1.0 / corrected(self.beta2).sqrt()) as f32,
                epsilon: self.epsilon as f32,
            };
            let Moments { mut first, mut second, .. } = moments;
            let rule: Update = if is_gpu(parameters.device()) { apply } else { apply_in_place };
            parameters.update(&name, |value| rule(step, value, gradient, &mut first, &mut second));
            self.moments.insert(name, Moments { first, second, steps });
        }
    }

    /// The moments as a checkpoint: `NAME.moment_1`, `NAME.moment_2`, and the number of steps, `NAME.steps`.
    pub fn checkpoint(&self, name: &str) -> Checkpoint {
        let stored = |tensor: &Tensor<1>| {
            let tensor = tensor.clone();
            StoredTensor::computed(tensor.dims().to_vec(), move || values(tensor.clone()))
        };
        let tensors = self.moments.iter().flat_map(|(name, Moments { first, second, steps })| {
            let steps = *steps as f32;
            [
                (format!("{name}.moment_1"), stored(first)),
                (format!("{name}.moment_2"), stored(second)),
                (format!("{name}.steps"), StoredTensor::computed(vec![1], move || vec![steps])),
            ]
        });
        Checkpoint::computed(name, tensors)
    }

    /// Takes the moments out of a checkpoint that [`checkpoint`](Self::checkpoint) has made, for the trained parameters that it
    /// has them for.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`]: a tensor that cannot be read.
    pub fn restore(&mut self, parameters: &Parameters, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let device: &Device = parameters.device();
        self.moments.clear();
        for (name, shape) in parameters.trained() {
            let of = |part: &str| format!("{name}.{part}");
            let count: usize = shape.iter().product();
            let fits =
                |part: &str| checkpoint.tensors().get(&of(part)).is_some_and(|stored| stored.elements() == count);
            if !fits("moment_1") || !fits("moment_2") || !checkpoint.tensors().contains_key(&of("steps")) {
                continue;
            }
            let read = |part: &str| checkpoint.floats(&of(part));
            let steps = read("steps")?.first().map_or(0, |steps| *steps as u32);
            let [first, second] = [read("moment_1")?, read("moment_2")?].map(|values| tensor(values, device));
            self.moments.insert(name.to_owned(), Moments { first, second, steps });
        }
        Ok(())
    }
}

/// Updates a value and its moments.
pub(super) type Update = fn(AdamStep, Tensor<1>, Tensor<1>, &mut Tensor<1>, &mut Tensor<1>) -> Tensor<1>;

/// With Burn's operations.
pub(super) fn apply(
    step: AdamStep,
    value: Tensor<1>,
    gradient: Tensor<1>,
    first: &mut Tensor<1>,
    second: &mut Tensor<1>,
) -> Tensor<1> {
    let AdamStep { beta1, beta2, kept, rate, root, epsilon } = step;
    *first = first.clone() * beta1 + gradient.clone() * (1.0 - beta1);
    *second = second.clone() * beta2 + gradient.square() * (1.0 - beta2);
    let change = first.clone() / (second.clone().sqrt() * root + epsilon);
    value * kept - change * rate
}

/// In place, on the CPU.
pub(super) fn apply_in_place(
    step: AdamStep,
    value: Tensor<1>,
    gradient: Tensor<1>,
    first: &mut Tensor<1>,
    second: &mut Tensor<1>,
) -> Tensor<1> {
    let device = value.device();
    let taken = |moment: &mut Tensor<1>| values(std::mem::replace(moment, Tensor::zeros([1], &device)));
    let (mut first_values, mut second_values) = (taken(first), taken(second));
    let mut new = values(value);
    let gradient = gradient.into_data();
    let gradient = gradient.as_slice::<f32>().expect("gradients are float32");
    adam(step, &mut new, gradient, &mut first_values, &mut second_values);
    *first = tensor(first_values, &device);
    *second = tensor(second_values, &device);
    tensor(new, &device)
}
