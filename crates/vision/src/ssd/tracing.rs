//! Layers as operations of a graph, with their weights.

use nn::checkpoint::{Checkpoint, CheckpointError};

use super::module::Module;
use super::variables::variable;
use crate::export::{Activation, Graph, Kernel, ValueId, Weights};

/// A convolution, as a graph needs to know it.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// The name of its module.
    name: String,
    stride: usize,
    /// What is added to the variances of its normalization; `None`: it has a bias in the place of one.
    epsilon: Option<f64>,
}

impl Layer {
    pub(super) fn with_norm(module: &Module, stride: usize, epsilon: f64) -> Self {
        Self { name: module.name().to_owned(), stride, epsilon: Some(epsilon) }
    }

    pub(super) fn with_bias(module: &Module, stride: usize) -> Self {
        Self { name: module.name().to_owned(), stride, epsilon: None }
    }
}

/// A graph that is being made of the layers of a checkpoint.
pub(super) struct Tracing<'a> {
    checkpoint: &'a Checkpoint,
    pub(super) graph: Graph,
}

impl<'a> Tracing<'a> {
    /// With the tensors under the names of the layers.
    pub(super) fn new(checkpoint: &'a Checkpoint, graph: Graph) -> Self {
        Self { checkpoint, graph }
    }

    /// Adds a convolution with its normalization, and what comes after it.
    ///
    /// # Errors
    /// [`CheckpointError`]: the values cannot be read.
    pub(super) fn convolution(
        &mut self,
        layer: &Layer,
        x: ValueId,
        activation: Activation,
    ) -> Result<ValueId, CheckpointError> {
        let Layer { name, stride, epsilon } = layer;
        let key = format!("{name}.weight");
        let shape = self.checkpoint.tensors()[&key].shape();
        let variable = variable(&key, shape).unwrap_or_default();
        // Outputs, inputs, height and width.
        let (shape, values) = (<[usize; 4]>::try_from(shape).unwrap_or_default(), self.checkpoint.floats(&key)?);
        let (factors, shifts) = self.norm(name, *epsilon, shape[0])?;
        let kernel = if variable.ends_with("depthwise_weights") { Kernel::Depthwise } else { Kernel::Full };
        let [outputs, inputs, height, width] = shape;
        let at = |output: usize, input: usize, place: usize| {
            (f64::from(values[(output * inputs + input) * height * width + place]) * factors[output]) as f32
        };
        let weights = match kernel {
            Kernel::Full => Weights {
                shape: vec![outputs, height, width, inputs],
                values: (0..outputs * height * width * inputs)
                    .map(|index| {
                        at(index / (height * width * inputs), index % inputs, index / inputs % (height * width))
                    })
                    .collect(),
                name: variable,
            },
            Kernel::Depthwise => Weights {
                shape: vec![1, height, width, outputs],
                values: (0..height * width * outputs).map(|index| at(index % outputs, 0, index / outputs)).collect(),
                name: variable,
            },
        };
        let path = name.replace('.', "/");
        let bias = Weights {
            name: format!("{path}/{}", if epsilon.is_some() { "bias" } else { "biases" }),
            shape: vec![outputs],
            values: shifts.into_iter().map(|shift| shift as f32).collect(),
        };
        let last = match (activation, epsilon) {
            (Activation::Relu6, _) => "Relu6",
            (Activation::None, Some(_)) => "BatchNorm/FusedBatchNormV3",
            (Activation::None, None) => "BiasAdd",
        };
        Ok(self.graph.convolution(format!("{path}/{last}"), x, kernel, [weights, bias], *stride, activation))
    }

    /// The factor and the shift of each output.
    fn norm(&self, name: &str, epsilon: Option<f64>, outputs: usize) -> Result<(Vec<f64>, Vec<f64>), CheckpointError> {
        let doubles = |tensor: &str| -> Result<Vec<f64>, CheckpointError> {
            let values = self.checkpoint.floats(&format!("{name}.{tensor}"))?;
            Ok(values.into_iter().map(f64::from).collect())
        };
        let Some(epsilon) = epsilon else { return Ok((vec![1.0; outputs], doubles("bias")?)) };
        let [weight, bias] = [doubles("BatchNorm.weight")?, doubles("BatchNorm.bias")?];
        let [mean, variance] = [doubles("BatchNorm.running_mean")?, doubles("BatchNorm.running_var")?];
        let factors: Vec<f64> =
            weight.iter().zip(&variance).map(|(weight, variance)| weight / (variance + epsilon).sqrt()).collect();
        let shifts = bias.iter().zip(&mean).zip(&factors).map(|((bias, mean), factor)| bias - mean * factor).collect();
        Ok((factors, shifts))
    }

    /// Adds a sum, for a module.
    pub(super) fn addition(&mut self, module: &str, inputs: [ValueId; 2]) -> ValueId {
        self.graph.addition(format!("{}/add", module.replace('.', "/")), inputs)
    }

    /// Adds the values of a module's maps as rows, each of `columns` values.
    pub(super) fn reshape(&mut self, module: &str, name: &str, maps: ValueId, columns: usize) -> ValueId {
        self.graph.reshape(format!("{}/{name}", module.replace('.', "/")), maps, columns)
    }

    /// Adds rows one after the other.
    pub(super) fn concatenation(&mut self, name: &str, rows: Vec<ValueId>) -> ValueId {
        self.graph.concatenation(name.to_owned(), rows)
    }
}
