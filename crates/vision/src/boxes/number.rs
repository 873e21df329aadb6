use std::ops::{Add, Div, Mul, Sub};

/// The numbers that boxes are computed in: a network's reference code decides between 32 and 64 bits.
pub trait Number:
    Copy
    + PartialOrd
    + From<f32>
    + Into<f64>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
}

impl Number for f32 {}
impl Number for f64 {}
