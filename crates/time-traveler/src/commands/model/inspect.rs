//! `model inspect`: the contents of a checkpoint.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aging::sam;
use clap::Args;
use nn::checkpoint::{Checkpoint, Dtype};
use serde_json::{Map, json};

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A checkpoint: .pt or .safetensors
    checkpoint: PathBuf,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

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
        return print_line!("{line}");
    }
    match &network {
        Ok(sam::Identity { output_size: size, .. }) => {
            print_line!("{}: SAM, face ageing, pictures of {size} x {size}", checkpoint.file().display())?;
        }
        Err(_) => print_line!("{}: nothing that the SAM engine can use", checkpoint.file().display())?,
    }
    print_line!("  format      {}", checkpoint.format())?;
    print_line!("  size        {:.1} MB", checkpoint.file_bytes() as f64 / 1e6)?;
    print_line!("  tensors     {}", checkpoint.tensors().len())?;
    print_line!("  parameters  {:.1} million", checkpoint.parameters() as f64 / 1e6)?;
    for (dtype, count) in elements {
        print_line!("  {dtype:<11} {count} elements")?;
    }
    if let Err(misfit) = network {
        print_line!("{misfit}")?;
    }
    Ok(())
}

/// The number of elements of each type.
fn elements(checkpoint: &Checkpoint) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for tensor in checkpoint.tensors().values() {
        *counts.entry(name(tensor.dtype())).or_insert(0) += tensor.elements() as u64;
    }
    counts
}

/// PyTorch's name of a type.
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
