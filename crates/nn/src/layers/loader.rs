//! The context in which layers load: their weights, and the way in which they will compute.

use std::fmt::Display;

use burn::tensor::{Device as BurnDevice, Tensor};

use crate::device::{Device, Precision};
use crate::weights::Weights;

/// The implementation of the layers of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// Burn's operations, on any device and in any precision.
    Burn,
    /// This crate's kernels, for float32 on the CPU.
    Kernels,
}

impl Execution {
    /// The faster implementation.
    pub fn fastest(device: Device, precision: Precision) -> Self {
        if device == Device::Cpu && precision == Precision::Float32 { Self::Kernels } else { Self::Burn }
    }
}

/// The largest convolutions whose weights are transformed for Winograd's algorithms, which takes time and memory at loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Stride 1: the most weights for F(6, 3), which takes 7.1 times their memory, and is for large maps.
    pub f63: usize,
    /// The same for F(4, 3), which takes four times their memory.
    pub f43: usize,
    /// The same for F(2, 3), which takes 1.8 times their memory.
    pub f23: usize,
    /// Stride 2: the smallest width of maps, in pixels. The transformation takes 1.8 times the memory, and four times for large maps, where
    /// it is that of F(4, 2).
    pub stride2: usize,
    /// The most weights that are transformed at loading. More are transformed at each run, which takes little time where maps are
    /// large, and no memory.
    pub kept: usize,
    /// Kernels of one pixel: the fewest and the most weights for Strassen's algorithm, which takes 1.75 times their memory, and is for large
    /// maps.
    pub strassen: [usize; 2],
}

impl Budget {
    /// For a network that runs many times.
    pub const GENEROUS: Self = Self {
        f63: 0,
        f43: 512 * 256 * 9,
        f23: 512 * 512 * 9,
        stride2: 64,
        kept: usize::MAX,
        strassen: [usize::MAX; 2],
    };
    /// For a network that runs once in a while.
    pub const SPARING: Self = Self { f43: 128 * 128 * 9, f23: 512 * 256 * 9, ..Self::GENEROUS };
    /// For a network of large maps.
    pub const OF_LARGE_MAPS: Self = Self {
        f63: 256 * 512 * 9,
        f43: usize::MAX,
        f23: 0,
        stride2: 64,
        kept: 128 * 128 * 9,
        strassen: [128 * 512, usize::MAX],
    };
}

/// What normalizations do in training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norms {
    /// The share of a batch's statistics in the new running statistics.
    pub momentum: f64,
    /// Whether the running statistics are used and do not change, though weights and biases may train.
    pub are_fixed: bool,
}

impl Norms {
    /// As PyTorch has it by default.
    pub const PYTORCH: Self = Self { momentum: 0.1, are_fixed: false };
}

/// The weights of a module, and the way in which its layers will compute.
#[derive(Clone)]
pub struct Loader<'a> {
    weights: Weights<'a>,
    execution: Execution,
    budget: Budget,
    norms: Norms,
}

impl<'a> Loader<'a> {
    /// With a [generous](Budget::GENEROUS) budget.
    pub fn new(weights: &Weights<'a>, execution: Execution) -> Self {
        Self { weights: weights.clone(), execution, budget: Budget::GENEROUS, norms: Norms::PYTORCH }
    }

    /// The same with another budget, for all layers in this module.
    pub fn with_budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// The same with other normalizations in training, for all layers in this module.
    pub fn with_norms(self, norms: Norms) -> Self {
        Self { norms, ..self }
    }

    /// The loader of a module in this one.
    pub fn at(&self, name: impl Display) -> Self {
        Self { weights: self.weights.at(name), ..*self }
    }

    /// A tensor of this module.
    pub fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        self.weights.tensor(name, shape)
    }

    /// A tensor of this module that has no gradient.
    pub fn buffer<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        self.weights.buffer(name, shape)
    }

    /// The weights of this module.
    pub fn weights(&self) -> &Weights<'a> {
        &self.weights
    }

    /// The device of the tensors.
    pub fn device(&self) -> &BurnDevice {
        self.weights.device()
    }

    /// The implementation of the layers.
    pub fn execution(&self) -> Execution {
        self.execution
    }

    /// What normalizations do in training.
    pub fn norms(&self) -> Norms {
        self.norms
    }

    /// The budget for transformed weights.
    pub fn budget(&self) -> Budget {
        self.budget
    }
}
