//! Neural networks: checkpoints, layers, and kernels for the CPU, on Burn. Networks are in other crates.
//!
//! A network is described once, by layers that are named as in its checkpoint. The description [lists](weights::list) the
//! network's tensors, [loads](weights::load) them, and runs in [training](Pass) with [`Parameters`]. Its layers compute with Burn's
//! operations, or with this crate's [`kernels`] for float32 on the CPU.
//!
//! No other member of the workspace, no network by name, no HTTP.

pub mod checkpoint;
mod device;
#[cfg(feature = "cuda")]
mod gpu;
pub mod kernels;
pub mod layers;
mod made_up;
mod parameters;
mod pass;
mod pool;
mod random;
mod stages;
mod training;
pub mod weights;

pub use burn::backend::ExecutionError;
pub use device::{Compute, Device, DeviceChoice, DeviceError, Precision, UnknownChoice, is_gpu};
pub use made_up::{made_up, made_up_with_salt};
pub use parameters::Parameters;
pub use pass::{Gradients, Pass, Statistics};
pub use pool::in_pool;
pub use random::Random;
pub use stages::Stages;
pub use training::{AdamW, Group, Optimizer, Rule, Sgd};
