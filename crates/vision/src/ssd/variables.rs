//! The names and layouts of TensorFlow's variables, and those of the layers here.

use nn::checkpoint::Checkpoint;

/// The names of a layer's tensors: here, and in TensorFlow.
const PLAIN: [(&str, &str); 5] = [
    (".BatchNorm.weight", "/BatchNorm/gamma"),
    (".BatchNorm.bias", "/BatchNorm/beta"),
    (".BatchNorm.running_mean", "/BatchNorm/moving_mean"),
    (".BatchNorm.running_var", "/BatchNorm/moving_variance"),
    // The bias of a normalization ends so too.
    (".bias", "/biases"),
];
/// Kernels: their name in TensorFlow, and the order of their dimensions there for outputs by inputs by height by width here.
const KERNEL: (&str, [usize; 4]) = ("/weights", [3, 2, 0, 1]);
const DEPTHWISE: (&str, [usize; 4]) = ("/depthwise_weights", [2, 3, 0, 1]);

/// The variables of a checkpoint as the layers here have them. Others are dropped.
pub(super) fn as_layers(checkpoint: &Checkpoint) -> Checkpoint {
    checkpoint.mapped(|name, stored| {
        for (variable, order) in [KERNEL, DEPTHWISE] {
            if let Some(module) = name.strip_suffix(variable)
                && stored.shape().len() == order.len()
            {
                return Some((format!("{}.weight", dotted(module)), stored.permuted(&order)));
            }
        }
        let (layer, module) =
            PLAIN.iter().find_map(|(layer, variable)| Some((*layer, name.strip_suffix(variable)?)))?;
        Some((format!("{}{layer}", dotted(module)), stored.clone()))
    })
}

/// Layers' tensors as TensorFlow's variables: the other way round.
pub fn as_variables(layers: &Checkpoint) -> Checkpoint {
    layers.mapped(|name, stored| {
        let variable = variable(name, stored.shape())?;
        let stored = match (variable.ends_with(DEPTHWISE.0), stored.shape().len()) {
            (true, 4) => stored.permuted(&inverse(DEPTHWISE.1)),
            (false, 4) => stored.permuted(&inverse(KERNEL.1)),
            _ => stored.clone(),
        };
        Some((variable, stored))
    })
}

/// The variable of a layer's tensor of this shape; `None`: no layer has such a tensor.
pub fn variable(layer: &str, shape: &[usize]) -> Option<String> {
    if let Some((module, name)) = PLAIN.iter().find_map(|(known, name)| Some((layer.strip_suffix(known)?, name))) {
        return Some(format!("{}{name}", module.replace('.', "/")));
    }
    let module = layer.strip_suffix(".weight")?;
    let is_depthwise = module.ends_with("depthwise") && shape.get(1) == Some(&1);
    Some(format!("{}{}", module.replace('.', "/"), if is_depthwise { DEPTHWISE.0 } else { KERNEL.0 }))
}

/// The extents of a layer's tensor as a variable.
pub(super) fn variable_shape(variable: &str, shape: &[usize]) -> Vec<usize> {
    let order = if variable.ends_with(DEPTHWISE.0) { DEPTHWISE.1 } else { KERNEL.1 };
    if shape.len() == order.len() {
        inverse(order).iter().map(|dimension| shape[*dimension]).collect()
    } else {
        shape.to_vec()
    }
}

fn inverse(order: [usize; 4]) -> [usize; 4] {
    let mut inverse = [0; 4];
    order.iter().enumerate().for_each(|(place, dimension)| inverse[*dimension] = place);
    inverse
}

fn dotted(module: &str) -> String {
    module.replace('/', ".")
}
