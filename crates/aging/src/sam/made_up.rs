use rayon::prelude::*;

use super::{Network, OUTPUT_SIZES, name};
use crate::checkpoint::{self, Checkpoint, StoredTensor};

/// A checkpoint whose every value follows from its tensor's name: for measurements, and for comparisons with other
/// implementations, where trained weights cannot be had. What the network makes of it resembles no face.
///
/// Element `i` of a tensor is `scale * u + shift` with `u` in -1 to 1 by SplitMix64 (Steele et al. 2014) on the FNV-1a hash of
/// its name; scale and shift depend on the kind of the tensor, so that values keep their size through the network. Of the
/// tensors that the network takes, that is; the published checkpoint has some more.
///
/// # Panics
/// For an output size that is none of [`OUTPUT_SIZES`].
pub fn made_up(output_size: usize) -> Checkpoint {
    assert!(OUTPUT_SIZES.contains(&output_size), "{output_size} is not one of {OUTPUT_SIZES:?}");
    let tensors = checkpoint::wanted(|weights| Network::load(weights, output_size));
    let tensors = tensors.into_iter().map(|(name, shape)| {
        let (scale, shift) = spread(&name, &shape);
        let (seed, count) = (fnv1a(&name), shape.iter().product::<usize>() as u64);
        let value = move |index| (scale * uniform(seed, index) + shift) as f32;
        let values = move || (1..=count).into_par_iter().map(value).collect();
        (name, StoredTensor::computed(shape, values))
    });
    Checkpoint::computed(&format!("made-up weights of {}", name(output_size)), tensors)
}

/// The scale and the shift of a tensor's values.
fn spread(name: &str, shape: &[usize]) -> (f64, f64) {
    let module = |ending: &str| name.ends_with(ending);
    let inputs: usize = shape.iter().skip(1).product();
    let uniform_of_variance = |variance: f64| (3.0 * variance).sqrt();
    if name == "latent_avg" {
        return (uniform_of_variance(0.25), 0.0);
    }
    if name.starts_with("decoder.") {
        return match () {
            () if module("noise.weight") => (0.1, 0.0),
            () if module("modulation.bias") => (0.1, 1.0),
            () if module("bias") => (0.05, 0.0),
            () if name.contains("to_rgb") && module("conv.weight") => (uniform_of_variance(0.04), 0.0),
            () => (uniform_of_variance(1.0), 0.0),
        };
    }
    match () {
        () if module("running_mean") => (0.1, 0.0),
        () if module("running_var") => (0.5, 1.0),
        () if module("bias") => (0.05, 0.0),
        () if module("linear.weight") => (uniform_of_variance(1.0), 0.0),
        () if module("res_layer.4.weight") => (0.1, 0.3),
        () if module("shortcut_layer.1.weight") => (0.1, 0.7),
        () if module("res_layer.0.weight") || module("input_layer.1.weight") => (0.2, 1.0),
        () if shape.len() == 1 => (0.1, 0.25),
        () if module("input_layer.0.weight") || name.contains(".convs.") => {
            (uniform_of_variance(2.0 / inputs as f64), 0.0)
        }
        () => (uniform_of_variance(1.0 / inputs as f64), 0.0),
    }
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The value of an index in -1 to 1.
fn uniform(seed: u64, index: u64) -> f64 {
    let z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let z = z ^ (z >> 31);
    (z >> 40) as f64 / f64::from(1 << 24) * 2.0 - 1.0
}
