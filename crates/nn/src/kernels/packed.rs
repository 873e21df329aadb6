//! The memory of packed weights.

use super::huge_pages::HugePages;
use super::scratch::Scratch;

/// How long packed weights are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// For many runs, in memory of their own.
    Lasting,
    /// For one step of training, after which they change: in scratch memory, which the next step reuses.
    Step,
}

/// Packed weights.
#[derive(Debug)]
pub(super) enum Packed {
    Lasting(HugePages),
    Step(Scratch),
}

impl Packed {
    /// Memory for `count` numbers. Its content is arbitrary.
    ///
    /// # Panics
    /// If the system has no memory for them.
    pub(super) fn new(count: usize, of: Use) -> Self {
        match of {
            Use::Lasting => Self::Lasting(HugePages::new(count)),
            Use::Step => Self::Step(Scratch::new(count)),
        }
    }

    pub(super) fn values(&self) -> &[f32] {
        match self {
            Self::Lasting(pages) => pages.values(),
            Self::Step(scratch) => scratch.values(),
        }
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Lasting(pages) => pages.values_mut(),
            Self::Step(scratch) => scratch.values_mut(),
        }
    }
}
