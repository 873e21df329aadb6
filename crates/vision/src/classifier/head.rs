//! The head that fastai puts on a body.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use nn::layers::{BatchNorm1d, Dropout, Linear, Loader};

/// The features between the two linear layers.
const HIDDEN: usize = 512;

/// The layers after pooling and `Flatten`, which are 0 and 1. The layer 5 is an activation.
#[derive(Debug)]
pub(super) struct Head {
    norm_2: BatchNorm1d,
    dropout_3: Dropout,
    linear_4: Linear,
    norm_6: BatchNorm1d,
    dropout_7: Dropout,
    linear_8: Linear,
}

impl Head {
    /// For maps of `features` channels, with the probabilities of both dropouts.
    pub(super) fn load(loader: &Loader, features: usize, classes: usize, dropouts: [f64; 2]) -> Self {
        Self {
            norm_2: BatchNorm1d::load(&loader.at(2), 2 * features),
            dropout_3: Dropout::load(&loader.at(3), dropouts[0]),
            linear_4: Linear::load(&loader.at(4), [2 * features, HIDDEN]),
            norm_6: BatchNorm1d::load(&loader.at(6), HIDDEN),
            dropout_7: Dropout::load(&loader.at(7), dropouts[1]),
            linear_8: Linear::load(&loader.at(8), [HIDDEN, classes]),
        }
    }

    /// From pooled features to the output of the first linear layer, `(images, 512)`.
    pub(super) fn linear(&self, pooled: Tensor<2>) -> Tensor<2> {
        self.linear_4.forward(self.dropout_3.forward(self.norm_2.forward(pooled)))
    }

    /// From that output to logits.
    pub(super) fn logits(&self, linear: Tensor<2>) -> Tensor<2> {
        self.linear_8.forward(self.dropout_7.forward(self.norm_6.forward(relu(linear))))
    }
}
