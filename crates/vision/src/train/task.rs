//! What plugs into the loop.

use burn::tensor::{Device, Tensor};
use nn::layers::Loader;
use nn::{Parameters, Random};

/// A network with its data and its loss.
pub trait Task: Sync {
    /// An example, decoded and changed at random, ready to be put into a batch.
    type Sample: Send;
    /// The network.
    type Network;

    /// The network with the weights of a loader.
    fn network(&self, loader: &Loader) -> Self::Network;

    /// The group of a parameter, whose learning rate it has.
    fn group(&self, parameter: &str) -> usize;

    /// Whether a parameter does not change in a phase, from 0.
    fn is_frozen(&self, parameter: &str, phase: usize) -> bool;

    /// The number of examples to train with.
    fn examples(&self) -> usize;

    /// An example, by its index. It is made on any thread, and its random changes follow from `random` alone.
    ///
    /// # Errors
    /// [`Spoiled`]: the example cannot be used. The training goes on without it.
    fn sample(&self, index: usize, random: Random) -> Result<Self::Sample, Spoiled>;

    /// The losses of a batch. Samples are in the order of the batch; input tensors are to be made on `device`.
    fn losses(&self, network: &Self::Network, samples: Vec<Self::Sample>, random: Random, device: &Device) -> Losses;

    /// Measures the network on examples that it is not trained with.
    fn validate(&self, parameters: &Parameters) -> Validation;
}

/// What a validation has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validation {
    /// Figures by name. The first one is a loss: the smaller the better. There are none without examples.
    pub figures: Vec<(String, f64)>,
    /// Examples that could not be used.
    pub spoiled: Vec<Spoiled>,
}

/// The losses of a batch.
#[derive(Debug)]
pub struct Losses {
    /// The sum that is minimized, `(1)`.
    pub total: Tensor<1>,
    /// Its parts, by name, where it has several.
    pub parts: Vec<(&'static str, Tensor<1>)>,
}

/// An example that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoiled {
    /// Its name, such as its file.
    pub example: String,
    /// Why.
    pub reason: String,
}
