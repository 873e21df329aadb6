//! `model convert`: a SAM checkpoint as safetensors.

use std::path::PathBuf;

use aging::sam;
use anyhow::ensure;
use clap::Args;
use nn::checkpoint::{self, Checkpoint, ElementType};
use serde_json::json;

use crate::choice::Choice;
use crate::escape::Shown;
use crate::terminal::progress::Progress;

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// A checkpoint of PyTorch, safetensors or TensorFlow
    checkpoint: PathBuf,
    /// The file to write [default: the checkpoint's name, ending in .safetensors]
    out: Option<PathBuf>,
    /// Type of the written weights [default: as in the checkpoint]
    #[arg(long, value_name = "float32|float16|bfloat16", hide_possible_values = true,
        value_parser = Choice::<ElementType>::of(&["float32", "float16", "bfloat16"]))]
    dtype: Option<ElementType>,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(convert: &Convert) -> anyhow::Result<()> {
    let sam::Identity { mut checkpoint, tensors, .. } = sam::identify(&Checkpoint::open(&convert.checkpoint)?)?;
    // The discriminator and the training state are left out.
    checkpoint.keep(&tensors.into_iter().map(|(name, _)| name).collect());
    let out = convert.out.clone().unwrap_or_else(|| default_name(convert));
    ensure!(
        out.extension().is_some_and(|extension| extension == "safetensors"),
        "{} does not end in .safetensors, the format that is written",
        out.shown()
    );
    ensure!(
        out.canonicalize().ok() != convert.checkpoint.canonicalize().ok(),
        "{} would be overwritten by its own conversion: name another file",
        out.shown()
    );
    let mut progress = Progress::bytes("converting");
    checkpoint::save(&checkpoint, convert.dtype, &out, &mut |done, all| progress.at(done, all))?;
    progress.finish();
    let bytes = std::fs::metadata(&out)?.len();
    if convert.json {
        print_line!("{}", json!({"file": out, "bytes": bytes, "tensors": checkpoint.tensors().len()}))
    } else {
        print_line!("{} has {} tensors in {:.1} MB", out.shown(), checkpoint.tensors().len(), bytes as f64 / 1e6)
    }
}

fn default_name(convert: &Convert) -> PathBuf {
    convert.checkpoint.with_extension("safetensors")
}
