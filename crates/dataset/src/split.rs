//! Splits of a data set in which every class, and every pair of classes, has its share.

mod balance;
mod stratification;

pub use balance::{Balance, ClassBalance};
pub use stratification::stratify;
