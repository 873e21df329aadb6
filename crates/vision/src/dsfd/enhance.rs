//! The feature enhance module of DSFD.

use burn::tensor::Tensor;
use nn::layers::{After, Conv2d, Execution, Loader};

/// `ReLU`.
const RELU: After = After::LeakyReLU(0.0);

/// How many rows above and below a row its enhanced maps depend on: in the third branch, 2 + 2 + 1.
pub(super) const REACH: usize = 5;

/// Three branches of one, two and three 3x3 convolutions, some with a pixel between the taps: to 512 channels.
#[derive(Debug)]
pub(super) struct EnhanceModule {
    cpm: [Conv2d; 5],
    execution: Execution,
}

impl EnhanceModule {
    pub(super) fn load(loader: &Loader, inputs: usize) -> Self {
        let conv = |index: usize, channels, dilation| {
            let loader = loader.at(format!("cpm{index}"));
            let conv = if dilation == 1 {
                Conv2d::load(&loader, channels, 3, 1)
            } else {
                Conv2d::dilated(&loader, channels, dilation)
            };
            conv.with_bias(&loader)
        };
        let cpm = [
            conv(1, [inputs, 256], 1),
            conv(2, [inputs, 256], 2),
            conv(3, [256, 128], 1),
            conv(4, [256, 128], 2),
            conv(5, [128, 128], 1),
        ];
        Self { cpm, execution: loader.execution() }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [cpm1, cpm2, cpm3, cpm4, cpm5] = &self.cpm;
        let one = cpm1.forward(x.clone(), None, &RELU);
        let shared = cpm2.forward(x, None, &RELU);
        let two = cpm3.forward(shared.clone(), None, &RELU);
        let three = cpm5.forward(cpm4.forward(shared, None, &RELU), None, &RELU);
        self.execution.concatenate([one, two, three])
    }
}
