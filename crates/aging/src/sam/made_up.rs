use nn::checkpoint::Checkpoint;
use nn::layers::{Execution, Loader};
use nn::weights;

use super::{Network, OUTPUT_SIZES, name};

/// A checkpoint with [made-up](nn::made_up) weights: for measurements, and for comparisons with other implementations. It has the
/// tensors that the network takes. The published checkpoint has some more. The network's pictures of it resemble no face.
///
/// # Panics
/// For an output size that is none of [`OUTPUT_SIZES`].
pub fn made_up(output_size: usize) -> Checkpoint {
    assert!(OUTPUT_SIZES.contains(&output_size), "{output_size} is not one of {OUTPUT_SIZES:?}");
    let tensors = weights::list(|weights| Network::load(&Loader::new(weights, Execution::Burn), output_size));
    nn::made_up(&format!("made-up weights of {}", name(output_size)), tensors, spread)
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
