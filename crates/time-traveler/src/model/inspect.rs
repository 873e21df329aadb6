use std::collections::BTreeMap;

use aging::sam;
use nn::checkpoint::{Checkpoint, Dtype};
use serde_json::{Map, json};

use crate::cli::Inspect;

pub(super) fn run(inspect: &Inspect) -> anyhow::Result<()> {
    let checkpoint = Checkpoint::open(&inspect.checkpoint)?;
    let network = sam::identify(&checkpoint);
    let elements = elements(&checkpoint);
    if inspect.json {
        let elements: Map<_, _> = elements.iter().map(|(dtype, count)| (dtype.clone(), json!(count))).collect();
        let line = json!({
            "file": checkpoint.file(),
            "format": checkpoint.format().to_string(),
            "bytes": checkpoint.file_bytes(),
            "tensors": checkpoint.tensors().len(),
            "parameters": checkpoint.parameters(),
            "elements": elements,
            "network": network.is_ok().then_some("sam"),
            "outputSize": network.as_ref().ok().map(|network| network.output_size),
            "misfit": network.as_ref().err().map(ToString::to_string),
        });
        println!("{line}");
        return Ok(());
    }
    match &network {
        Ok(sam::Identity { output_size: size, .. }) => {
            println!("{}: SAM, face ageing, pictures of {size} x {size}", checkpoint.file().display());
        }
        Err(_) => println!("{}: nothing that the SAM engine can use", checkpoint.file().display()),
    }
    println!("  format      {}", checkpoint.format());
    println!("  size        {:.1} MB", checkpoint.file_bytes() as f64 / 1e6);
    println!("  tensors     {}", checkpoint.tensors().len());
    println!("  parameters  {:.1} million", checkpoint.parameters() as f64 / 1e6);
    for (dtype, count) in elements {
        println!("  {dtype:<11} {count} elements");
    }
    if let Err(misfit) = network {
        println!("{misfit}");
    }
    Ok(())
}

/// How many elements of each type there are.
fn elements(checkpoint: &Checkpoint) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for tensor in checkpoint.tensors().values() {
        *counts.entry(name(tensor.dtype())).or_insert(0) += tensor.elements() as u64;
    }
    counts
}

/// As PyTorch calls it.
fn name(dtype: Dtype) -> String {
    match dtype {
        Dtype::F16 => "float16".to_owned(),
        Dtype::BF16 => "bfloat16".to_owned(),
        Dtype::F32 => "float32".to_owned(),
        Dtype::F64 => "float64".to_owned(),
        Dtype::I64 => "int64".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}
