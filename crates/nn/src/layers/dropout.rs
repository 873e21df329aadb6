//! `torch.nn.Dropout`.

use burn::tensor::{Tensor, TensorData};

use super::loader::Loader;
use crate::random::Random;

/// `torch.nn.Dropout` on `(rows, features)`: in training, it sets a part of the values to 0, and scales the others to keep their
/// mean. It does nothing in evaluation.
#[derive(Debug)]
pub struct Dropout {
    probability: f64,
    random: Option<Random>,
}

impl Dropout {
    /// Each value becomes 0 with this probability, below 1.
    pub fn load(loader: &Loader, probability: f64) -> Self {
        let training = loader.weights().training().filter(|_| probability > 0.0);
        Self { probability, random: training.map(|training| training.random()) }
    }

    /// With Burn's operations.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let Some(mut random) = self.random.clone() else { return x };
        let [rows, features] = x.dims();
        let kept = (1.0 / (1.0 - self.probability)) as f32;
        let draw = |_| if random.uniform() < self.probability { 0.0 } else { kept };
        let factors: Vec<f32> = (0..rows * features).map(draw).collect();
        let factors = Tensor::from_data(TensorData::new(factors, [rows, features]), &x.device().inner());
        x * factors.autodiff()
    }
}
