//! Whether a checkpoint is that of a Faster R-CNN, and of which one.

use nn::checkpoint::{Checkpoint, CheckpointError};
use nn::layers::{Execution, Loader};
use nn::weights;

use super::config::{Config, Form};
use super::network::Network;
use crate::backbone::Depth;

/// The depths that Detectron2 has with a pyramid.
const DEPTHS: [Depth; 4] = [Depth::Layers18, Depth::Layers34, Depth::Layers50, Depth::Layers101];
/// The most hidden layers of the box head.
const MOST_HIDDEN: usize = 8;

/// The weight of the classification layer, whose rows are the classes.
const LAST: &str = "roi_heads.box_predictor.cls_score.weight";

/// A checkpoint that is a network's.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The configuration.
    pub config: Config,
    /// The checkpoint, with its tensors under the network's names.
    pub checkpoint: Checkpoint,
}

/// The names and shapes of the tensors of a network.
pub fn tensors(form: &Form) -> Vec<(String, Vec<usize>)> {
    weights::list(|weights| Network::load(&Loader::new(weights, Execution::Burn), form))
}

/// Whether a checkpoint has the last layer of a Faster R-CNN. Other tensors may still not fit.
pub fn is_one(checkpoint: &Checkpoint) -> bool {
    checkpoint.tensors().keys().any(|name| name.ends_with(LAST))
}

/// Identifies a checkpoint as that of a network with this configuration. Without one, the layers follow from the tensors, and the rest is
/// that of the model zoo; then the stride of a bottleneck is in its first convolution. Prefixes before the names are taken off. Values
/// are not read.
///
/// # Errors
/// [`CheckpointError`]: why the checkpoint is not that of the network.
pub fn identify(checkpoint: &Checkpoint, config: Option<Config>) -> Result<Identity, CheckpointError> {
    let (config, checkpoint) = match config {
        Some(config) => {
            let names = tensors(&config.form);
            let checkpoint = checkpoint.unwrapped(names.iter().map(|(name, _)| name.as_str()))?;
            (config, checkpoint)
        }
        None => {
            let (form, checkpoint) = form_of(checkpoint)?;
            (Config::published(form), checkpoint)
        }
    };
    let form = &config.form;
    let name = format!("Faster R-CNN on {:?} with {} classes", form.depth, form.classes);
    weights::survey(&checkpoint, &name, |weights| Network::load(&Loader::new(weights, Execution::Burn), form))?;
    Ok(Identity { config, checkpoint })
}

/// The form whose names fit best, and the checkpoint without a prefix before them.
fn form_of(checkpoint: &Checkpoint) -> Result<(Form, Checkpoint), CheckpointError> {
    let mut best: Option<((usize, usize), Form, Checkpoint)> = None;
    for depth in DEPTHS {
        let form = Form { depth, stride_in_1x1: true, channels: 256, shapes: 3, hidden: vec![1024; 2], classes: 80 };
        let names = tensors(&form);
        let checkpoint = checkpoint.unwrapped(names.iter().map(|(name, _)| name.as_str()))?;
        let there = names.iter().filter(|(name, _)| checkpoint.tensors().contains_key(name)).count();
        // A deeper network has all names of some others: few have to be missing, then many there.
        let fit = (usize::MAX - (names.len() - there), there);
        if best.as_ref().is_none_or(|(best, ..)| fit > *best) {
            best = Some((fit, of_tensors(form, &checkpoint), checkpoint));
        }
    }
    let (_, form, checkpoint) = best.expect("there are depths");
    Ok((form, checkpoint))
}

/// The form with the extents of the checkpoint's tensors, where it has them.
fn of_tensors(form: Form, checkpoint: &Checkpoint) -> Form {
    let outputs = |name: &str| {
        let tensor = checkpoint.tensors().get(&format!("{name}.weight"))?;
        tensor.shape().first().copied().filter(|outputs| *outputs > 0 && tensor.elements() > 0)
    };
    let hidden = (1..=MOST_HIDDEN).map_while(|index| outputs(&format!("roi_heads.box_head.fc{index}"))).collect();
    let classes = outputs("roi_heads.box_predictor.cls_score").and_then(|outputs| outputs.checked_sub(1));
    Form {
        channels: outputs("backbone.fpn_lateral2").unwrap_or(form.channels),
        hidden: Some(hidden).filter(|hidden: &Vec<usize>| !hidden.is_empty()).unwrap_or(form.hidden.clone()),
        classes: classes.filter(|classes| *classes > 0).unwrap_or(form.classes),
        ..form
    }
}
