use std::sync::Arc;

use nn::kernels::{Convolution, Direct, Epilogue, Extent, F43, Prologue, Winograd2d};

use super::upsample::Upsample;

/// A convolution of the generator, whose weights are prepared.
#[derive(Debug)]
pub(in crate::sam) enum StyledConvolution {
    /// It doubles the size.
    Upsample(Arc<Upsample>),
    /// It keeps the size.
    Same(Arc<Winograd2d<F43>>),
    /// It keeps the size of small maps.
    Direct(Direct),
}

impl StyledConvolution {
    fn kernel(&self) -> &dyn Convolution {
        match self {
            Self::Upsample(upsample) => &**upsample,
            Self::Same(same) => &**same,
            Self::Direct(direct) => direct,
        }
    }
}

impl Convolution for StyledConvolution {
    fn outputs(&self) -> usize {
        self.kernel().outputs()
    }

    fn out(&self, extent: Extent) -> Extent {
        self.kernel().out(extent)
    }

    fn forward(&self, maps: &[f32], extent: Extent, prologue: &Prologue, epilogue: &Epilogue, out: &mut [f32]) {
        self.kernel().forward(maps, extent, prologue, epilogue, out);
    }
}

/// A convolution with the operations of one style before and after it.
#[derive(Debug)]
pub(in crate::sam) struct Styled<C> {
    pub(in crate::sam) convolution: Arc<C>,
    pub(in crate::sam) prologue: Prologue,
    pub(in crate::sam) epilogue: Epilogue,
}
