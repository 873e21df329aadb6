//! Zeros around maps.

/// Where a kernel lies on maps that are padded with zeros. The output has a pixel for each `stride` pixels of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The first pixel of the output has the kernel's centre on the first pixel of the input, as in PyTorch with half of the side.
    Centred,
    /// As many zeros before the first pixel as after the last one, or one less: TensorFlow's `SAME`.
    Same,
}

impl Padding {
    /// The zeros before the first of `length` pixels.
    pub fn before(self, side: usize, stride: usize, length: usize) -> usize {
        match self {
            Self::Centred => side / 2,
            Self::Same => self.both(side, stride, length) / 2,
        }
    }

    /// The zeros before the first and after the last of `length` pixels, of which there is at least one.
    pub fn both(self, side: usize, stride: usize, length: usize) -> usize {
        match self {
            Self::Centred => side / 2 * 2,
            Self::Same => ((length.div_ceil(stride) - 1) * stride + side).saturating_sub(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_those_of_tensorflow() {
        let both = |side, stride, length| {
            let before = Padding::Same.before(side, stride, length);
            [before, Padding::Same.both(side, stride, length) - before]
        };
        assert_eq!(both(3, 1, 10), [1, 1]);
        assert_eq!(both(3, 2, 10), [0, 1]);
        assert_eq!(both(3, 2, 11), [1, 1]);
        assert_eq!(both(5, 2, 10), [1, 2]);
        assert_eq!(both(5, 2, 1), [2, 2]);
        assert_eq!(both(1, 2, 10), [0, 0]);
        assert_eq!(Padding::Centred.before(5, 2, 10), 2);
    }
}
