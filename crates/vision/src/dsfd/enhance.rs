//! The feature enhance module of DSFD.

use std::ops::Range;

use nn::layers::{Conv2d, Loader};

use super::strip::Part;

/// How many rows above and below a row its enhanced maps depend on: in the third branch, 2 + 2 + 1.
pub(super) const REACH: usize = 5;

/// Three branches of one, two and three 3x3 convolutions, some with a pixel between the taps: to 512 channels.
#[derive(Debug)]
pub(super) struct EnhanceModule {
    cpm: [Conv2d; 5],
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
        Self { cpm }
    }

    /// Rows of the enhanced maps, from the rows of the maps that are within [`REACH`].
    pub(super) fn forward(&self, x: Part, rows: &Range<usize>) -> Part {
        let [cpm1, cpm2, cpm3, cpm4, cpm5] = &self.cpm;
        // How far the rows before and after a convolution reach.
        let conv =
            |conv, x: &Part, [before, after]: [usize; 2]| x.around(rows, before).convolved(conv).around(rows, after);
        let one = conv(cpm1, &x, [1, 0]);
        let shared = conv(cpm2, &x, [REACH, 3]);
        // What is not read again makes room.
        drop(x);
        let two = conv(cpm3, &shared, [1, 0]);
        let longer = conv(cpm4, &shared, [3, 1]);
        drop(shared);
        let three = conv(cpm5, &longer, [1, 0]);
        Part::joined([one, two, three])
    }
}
