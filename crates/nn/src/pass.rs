//! A step of training: forward and backward.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor};

use crate::parameters::Parameters;
use crate::random::Random;
use crate::weights::{self, Weights};

/// The gradients of a step, flat, by the names of their parameters.
pub type Gradients = BTreeMap<String, Tensor<1>>;

/// One step of training: the parameters as leaves of a graph. Layers are made anew for every step.
#[derive(Debug)]
pub struct Pass<'a> {
    parameters: &'a Parameters,
    device: Device,
    leaves: RefCell<BTreeMap<String, Tensor<1>>>,
    statistics: Recorded,
    seed: u64,
    /// Layers with random numbers of their own so far.
    random_layers: Cell<u64>,
}

type Recorded = Arc<Mutex<Vec<Statistics>>>;

/// What a normalization has found in a step.
#[derive(Debug)]
pub struct Statistics {
    /// The layer's name.
    pub(crate) module: String,
    /// The mean of each channel.
    pub(crate) mean: Tensor<1>,
    /// The unbiased variance of each channel.
    pub(crate) variance: Tensor<1>,
    /// The share of these in the new running statistics.
    pub(crate) momentum: f64,
}

/// What a layer does in training besides its computation.
#[derive(Debug)]
pub(crate) struct Training {
    module: String,
    statistics: Recorded,
    /// Whether the layer's weight has a gradient.
    pub(crate) is_trained: bool,
    random: Random,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(parameters: &'a Parameters, seed: u64) -> Self {
        let device = parameters.device().clone().autodiff();
        let (leaves, statistics, random_layers) = Default::default();
        Self { parameters, device, leaves, statistics, seed, random_layers }
    }

    /// The network in training.
    pub fn network<N>(&self, network: impl Fn(&Weights) -> N) -> N {
        weights::of_pass(self, network)
    }

    /// The device whose tensors have gradients. Inputs may be on it, or on the device without gradients.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The gradients of a loss, `(1)`, by parameters, and what normalizations have found. Drop the network before: then
    /// parameters can change in place.
    pub fn backward(self, loss: Tensor<1>) -> (Gradients, Vec<Statistics>) {
        let mut gradients = loss.backward();
        drop(loss);
        let of = |(name, leaf): (String, Tensor<1>)| Some((name, leaf.grad_remove(&mut gradients)?));
        let gradients = self.leaves.into_inner().into_iter().filter_map(of).collect();
        let statistics = std::mem::take(&mut *self.statistics.lock().unwrap_or_else(PoisonError::into_inner));
        (gradients, statistics)
    }

    /// A parameter: a leaf of the graph if it trains, else a constant.
    pub(crate) fn tensor(&self, name: &str) -> Tensor<1> {
        let mut leaves = self.leaves.borrow_mut();
        if let Some(leaf) = leaves.get(name) {
            return leaf.clone();
        }
        let value = self.parameters.tensor(name);
        if !self.parameters.is_trained(name) {
            return value;
        }
        let leaf = value.autodiff().require_grad();
        leaves.insert(name.to_owned(), leaf.clone());
        leaf
    }

    /// For the layers of a module.
    pub(crate) fn training(&self, module: &str) -> Training {
        let layer = self.random_layers.get();
        self.random_layers.set(layer + 1);
        let weight = format!("{module}.weight");
        Training {
            module: module.to_owned(),
            statistics: self.statistics.clone(),
            is_trained: self.parameters.has(&weight) && self.parameters.is_trained(&weight),
            random: Random::of(self.seed, &[layer]),
        }
    }
}

impl Training {
    /// Notes a mean and a variance without gradients.
    pub(crate) fn record(&self, mean: Tensor<1>, variance: Tensor<1>, momentum: f64) {
        let statistics = Statistics { module: self.module.clone(), mean, variance, momentum };
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner).push(statistics);
    }

    /// The random numbers of the layer in this step.
    pub(crate) fn random(&self) -> Random {
        self.random.clone()
    }
}
