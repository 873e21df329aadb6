//! The files of the tests' configurations.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use nn::checkpoint::Checkpoint;
use picture::RgbImage;
use serde_json::Value;

pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

pub(crate) fn json(name: &str) -> Result<Value, Box<dyn Error>> {
    Ok(serde_json::from_slice(&std::fs::read(file(name))?)?)
}

pub(crate) fn picture(name: &str) -> Result<RgbImage, Box<dyn Error>> {
    Ok(picture::decode(&std::fs::read(file(name))?)?)
}

/// The made-up weights of a network, with the scales and shifts of a list.
pub(crate) fn weights(list: &str, tensors: Vec<(String, Vec<usize>)>) -> Result<Checkpoint, Box<dyn Error>> {
    let mut spread = BTreeMap::new();
    for tensor in json(list)?.as_array().ok_or("the list of tensors is no list")? {
        let number = |name: &str| tensor[name].as_f64().ok_or("a tensor has no scale or shift");
        let name = tensor["name"].as_str().ok_or("a tensor has no name")?;
        spread.insert(name.to_owned(), (number("scale")?, number("shift")?));
    }
    Ok(nn::made_up("made-up weights", tensors, |name, _| spread[name]))
}
