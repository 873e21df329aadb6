use burn::tensor::Tensor;
use nn::layers::{After, Conv2d, Loader};

/// Channels of the enhanced maps, and within a head.
const INPUTS: usize = 512;
const MIDDLE: usize = 256;

/// How many rows above and below a row its answers depend on.
pub(super) const REACH: usize = 3;

/// Three 3x3 convolutions, and one of single pixels.
#[derive(Debug)]
pub(super) struct Head {
    convs: [Conv2d; 3],
    last: Conv2d,
}

impl Head {
    pub(super) fn load(loader: &Loader, outputs: usize) -> Self {
        let conv = |index: usize, channels, side| {
            let loader = loader.at(format!("conv{index}"));
            Conv2d::load(&loader, channels, side, 1).with_bias(&loader)
        };
        let convs = [conv(1, [INPUTS, MIDDLE], 3), conv(2, [MIDDLE; 2], 3), conv(3, [MIDDLE; 2], 3)];
        Self { convs, last: conv(4, [MIDDLE, outputs], 1) }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.convs.iter().fold(x, |x, conv| conv.forward(x, None, &After::LeakyReLU(0.0)));
        self.last.forward(x, None, &After::Nothing)
    }
}
