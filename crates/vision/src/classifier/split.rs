//! Which pictures validate a training.

use rand_mt::Mt;

/// The indices of a data set's pictures in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// In ascending order.
    pub training: Vec<usize>,
    /// In random order.
    pub validation: Vec<usize>,
}

impl Split {
    /// A `share` of `count` pictures, 0 to 1, validates: the first of NumPy's `RandomState(seed).permutation(count)`, as fastai's
    /// `random_split_by_pct` has them. Rounded down, the share can be none.
    pub fn random(count: usize, share: f64, seed: u32) -> Self {
        let mut validation = permutation(count, seed);
        validation.truncate((share * count as f64) as usize);
        let mut validates = vec![false; count];
        for index in &validation {
            validates[*index] = true;
        }
        Self { training: (0..count).filter(|index| !validates[*index]).collect(), validation }
    }
}

/// NumPy's `RandomState(seed).permutation(count)`: Fisher and Yates from the end, by the Mersenne twister.
///
/// # Panics
/// `count` is above 2^32.
fn permutation(count: usize, seed: u32) -> Vec<usize> {
    let mut twister = Mt::new(seed);
    let mut items: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let last = u32::try_from(last).expect("a data set has less than 2^32 pictures");
        // Numbers above are drawn again.
        let mask = u32::MAX >> last.leading_zeros();
        let drawn = std::iter::repeat_with(|| twister.next_u32() & mask).find(|drawn| *drawn <= last);
        items.swap(last as usize, drawn.expect("the sequence has no end") as usize);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{indices, json};

    #[test]
    fn a_split_is_that_of_numpy() {
        for (count, answer) in json("classifier/split.json").as_object().unwrap() {
            let count = count.parse().unwrap();
            assert_eq!(permutation(count, 2), indices(&answer["permutation"]), "{count}");
            let Split { training, validation } = Split::random(count, 0.2, 2);
            assert_eq!((training, validation), (indices(&answer["train"]), indices(&answer["valid"])), "{count}");
        }
        let none = Split::random(0, 0.2, 2);
        assert!(none.training.is_empty() && none.validation.is_empty());
    }
}
