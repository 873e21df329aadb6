//! Weights for tests and measurements, where trained ones are not available.

use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, StoredTensor};

/// A checkpoint whose every value follows from its tensor's name, so that other implementations can compute the same one.
/// Messages call it `name`; `tensors` are names and shapes.
///
/// Element `i` of a tensor is `scale * u + shift`, with `u` in -1 to 1 by SplitMix64 (Steele et al. 2014) from the FNV-1a hash
/// of the tensor's name. `spread` returns scale and shift for a name and a shape. A network chooses them so that values keep
/// their magnitude from layer to layer.
pub fn made_up(
    name: &str,
    tensors: impl IntoIterator<Item = (String, Vec<usize>)>,
    spread: impl Fn(&str, &[usize]) -> (f64, f64),
) -> Checkpoint {
    made_up_with_salt(name, tensors, 0, spread)
}

/// The same with other values for each `salt`, with whose bits those of the hash are flipped.
pub fn made_up_with_salt(
    name: &str,
    tensors: impl IntoIterator<Item = (String, Vec<usize>)>,
    salt: u64,
    spread: impl Fn(&str, &[usize]) -> (f64, f64),
) -> Checkpoint {
    let tensors = tensors.into_iter().map(|(name, shape)| {
        let (scale, shift) = spread(&name, &shape);
        let (seed, count) = (fnv1a(&name) ^ salt, shape.iter().product::<usize>() as u64);
        let value = move |index| (scale * uniform(seed, index) + shift) as f32;
        let values = move || (1..=count).into_par_iter().map(value).collect();
        (name, StoredTensor::computed(shape, values))
    });
    Checkpoint::computed(name, tensors)
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The value of an index, in -1 to 1.
fn uniform(seed: u64, index: u64) -> f64 {
    let z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let z = z ^ (z >> 31);
    (z >> 40) as f64 / f64::from(1 << 24) * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_from_the_name_and_keep_to_their_range() {
        let tensors = || [("a.weight".to_owned(), vec![40, 25]), ("b.weight".to_owned(), vec![1000])];
        let checkpoint = made_up("test", tensors(), |_, _| (0.5, 2.0));
        let [a, b] = ["a.weight", "b.weight"].map(|name| checkpoint.tensors()[name].raw().unwrap());
        assert_eq!(a, made_up("test", tensors(), |_, _| (0.5, 2.0)).tensors()["a.weight"].raw().unwrap());
        assert_ne!(a, b);
        assert!(a.as_chunks().0.iter().all(|bytes| (1.5..=2.5).contains(&f32::from_le_bytes(*bytes))));
    }
}
