//! `frozen_inference_graph.pb`: a graph whose variables became constants.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use safetensors::Dtype;

use super::element::dtype;
use super::message::{self, Node, Tensor};
use super::{TensorFlowError, extents};
use crate::checkpoint::mapped::Mapping;
use crate::checkpoint::stored::Values;
use crate::checkpoint::{Checkpoint, CheckpointError, Format, StoredTensor};

/// The first byte of a graph: the tag of its first node.
pub(in crate::checkpoint) const FIRST_BYTE: u8 = 0x0a;
/// The tag of a node.
const NODE: u32 = 1;
/// The most bytes that constants with repeated values may claim for each byte of the file.
const MAX_EXPANSION: u64 = 8;

/// Constants of numbers, under the names of their nodes.
pub(in crate::checkpoint) fn open(file: &Path, handle: &File) -> Result<Checkpoint, CheckpointError> {
    let mapping = Mapping::of(file, handle)?;
    let whole = mapping.bytes();
    let broken = |source| CheckpointError::TensorFlow { file: file.to_owned(), source };
    let no_graph = |source| broken(TensorFlowError::Message("graph", source));
    let mut tensors = BTreeMap::new();
    let mut claimed = 0_u64;
    let mut rest = whole.clone();
    while let Some((tag, node)) = message::next(&mut rest).map_err(no_graph)? {
        if tag != NODE {
            continue;
        }
        let Node { name, operation, value } = Node::read(node).map_err(no_graph)?;
        let (Some(tensor), b"Const") = (value, &operation[..]) else { continue };
        let Ok(name) = String::from_utf8(name.to_vec()) else { continue };
        if let Some(stored) = stored(&name, tensor, &mapping).map_err(broken)? {
            claimed = claimed.saturating_add(stored.bytes());
            tensors.insert(name, stored);
        }
    }
    let bytes = whole.len() as u64;
    if claimed > bytes.saturating_mul(MAX_EXPANSION) {
        return Err(CheckpointError::Bomb { file: file.to_owned(), tensors: claimed, bytes });
    }
    if tensors.is_empty() {
        return Err(broken(TensorFlowError::NotFrozen));
    }
    Ok(Checkpoint::of(file, bytes, Format::TensorFlowGraph, tensors))
}

/// `None` where the constant has no numbers, or whole ones that are stored one by one: the weights of networks are not.
fn stored(name: &str, tensor: Tensor, mapping: &Mapping) -> Result<Option<StoredTensor>, TensorFlowError> {
    let Tensor { dtype: number, shape, content, floats } = tensor;
    let Some(dtype) = dtype(number) else { return Ok(None) };
    let shape = extents(shape.as_ref()).ok_or_else(|| TensorFlowError::tensor(name, "has no size that can be used"))?;
    let elements: usize = shape.iter().product();
    if !content.is_empty() {
        let needed = elements * dtype.bitsize() / 8;
        if content.len() != needed {
            let reason = format!("has {} bytes of values, and its size needs {needed}", content.len());
            return Err(TensorFlowError::tensor(name, reason));
        }
        return Ok(Some(StoredTensor::new(dtype, shape, Values::Mapped(mapping.part(content)))));
    }
    let Some(last) = floats.last().copied().filter(|_| dtype == Dtype::F32) else { return Ok(None) };
    if floats.len() > elements {
        let reason = format!("has {} values, and its size is that of {elements}", floats.len());
        return Err(TensorFlowError::tensor(name, reason));
    }
    Ok(Some(StoredTensor::computed(shape, move || {
        let mut values = floats.clone();
        values.resize(elements, last);
        values
    })))
}
