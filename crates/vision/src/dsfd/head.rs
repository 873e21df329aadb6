use std::ops::Range;

use burn::tensor::Tensor;
use nn::layers::{After, Conv2d, Loader};

use super::strip::Part;

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

    /// Rows of the answers, from the rows of the enhanced maps that are within [`REACH`].
    pub(super) fn forward(&self, x: Part, rows: &Range<usize>) -> Tensor<4> {
        let reaches = (0..REACH).rev();
        let x = self.convs.iter().zip(reaches).fold(x, |x, (conv, reach)| x.convolved(conv).around(rows, reach));
        self.last.forward(x.maps, None, &After::Nothing)
    }
}
