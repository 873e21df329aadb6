//! The shapes of synthetic pictures.

/// A shape, which is a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A filled circle.
    Circle,
    /// A filled square.
    Square,
    /// A filled triangle with three equal sides.
    Triangle,
    /// A circle with a hole.
    Ring,
    /// Two bars.
    Cross,
    /// A star with four points.
    Star,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 6] = [Self::Circle, Self::Square, Self::Triangle, Self::Ring, Self::Cross, Self::Star];

    /// The name of the class.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Ring => "ring",
            Self::Cross => "cross",
            Self::Star => "star",
        }
    }

    /// Whether a point belongs to the shape, which touches the circle around the origin with radius 1.
    pub(super) fn contains(self, [x, y]: [f64; 2]) -> bool {
        let far = x * x + y * y;
        let (across, down) = (x.abs(), y.abs());
        match self {
            Self::Circle => far <= 1.0,
            Self::Square => across.max(down) <= 0.707,
            // Half of the square root of 3 is 0.866.
            Self::Triangle => y <= 0.5 && 0.866 * across - 0.5 * y <= 0.5,
            Self::Ring => (0.3..=1.0).contains(&far),
            Self::Cross => across.min(down) <= 0.26 && across.max(down) <= 0.96,
            Self::Star => across + down + 5.0 * across * down <= 1.0,
        }
    }
}
