//! `model inspect`: the contents of a checkpoint, for a network or not.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aging::sam;
use clap::Args;
use nn::checkpoint::{Checkpoint, Dtype, StoredTensor};
use serde_json::{Map, json};

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A checkpoint of PyTorch, safetensors or TensorFlow
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
        let tensor = |(tensor, stored): (&String, &StoredTensor)| json!({"name": tensor, "shape": stored.shape(), "dtype": name(stored.dtype())});
        let contents: Vec<_> = checkpoint.tensors().iter().map(tensor).collect();
        let line = json!({
            "file": checkpoint.file(),
            "format": checkpoint.format().to_string(),
            "bytes": checkpoint.file_bytes(),
            "tensors": checkpoint.tensors().len(),
            "parameters": checkpoint.parameters(),
            "elements": elements,
            "network": network.is_ok().then_some("sam"),
            "outputSize": network.as_ref().ok().map(|network| network.output_size),
            "prefix": network.as_ref().ok().map(|network| network.checkpoint.prefix()),
            "misfit": network.as_ref().err().map(ToString::to_string),
            "contents": contents,
        });
        return print_line!("{line}");
    }
    let file = checkpoint.file().display();
    match &network {
        Ok(sam::Identity { output_size: size, .. }) => {
            print_line!("{file}: SAM, face ageing, pictures of {size} x {size}")?;
        }
        Err(_) => print_line!("{file}: nothing that the SAM engine can use")?,
    }
    print_line!("  format      {}", checkpoint.format())?;
    print_line!("  size        {:.1} MB", checkpoint.file_bytes() as f64 / 1e6)?;
    print_line!("  tensors     {}", checkpoint.tensors().len())?;
    print_line!("  parameters  {:.1} million", checkpoint.parameters() as f64 / 1e6)?;
    for (dtype, count) in elements {
        print_line!("  {dtype:<11} {count} elements")?;
    }
    match network {
        Ok(sam::Identity { checkpoint, .. }) if !checkpoint.prefix().is_empty() => {
            print_line!("  prefix      {}, taken off the names", checkpoint.prefix().escape_debug())?;
        }
        Ok(_) => {}
        Err(misfit) => print_line!("\n{misfit}")?,
    }
    print_line!("\nThe tensors of the file:")?;
    for (tensor, stored) in checkpoint.tensors() {
        // A file's names could control the terminal.
        print_line!("  {} {:?} {}", tensor.escape_debug(), stored.shape(), name(stored.dtype()))?;
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
