use std::path::PathBuf;

use aging::sam;
use anyhow::ensure;
use nn::checkpoint::{self, Checkpoint};
use serde_json::json;

use crate::cli::Convert;
use crate::progress::Progress;

pub(super) fn run(convert: &Convert) -> anyhow::Result<()> {
    let mut checkpoint = Checkpoint::open(&convert.checkpoint)?;
    // What trained the network, or judged it, stays behind.
    checkpoint.keep(&sam::identify(&checkpoint)?.tensors.into_iter().map(|(name, _)| name).collect());
    let out = convert.out.clone().unwrap_or_else(|| default_name(convert));
    ensure!(
        out.extension().is_some_and(|extension| extension == "safetensors"),
        "{} does not end in .safetensors, which is what would be written",
        out.display()
    );
    ensure!(
        out.canonicalize().ok() != convert.checkpoint.canonicalize().ok(),
        "{} would take its own place: name another file",
        out.display()
    );
    let mut progress = Progress::bytes("converting");
    checkpoint::save(&checkpoint, convert.dtype, &out, &mut |done, all| progress.at(done, all))?;
    progress.finish();
    let bytes = std::fs::metadata(&out)?.len();
    if convert.json {
        println!("{}", json!({"file": out, "bytes": bytes, "tensors": checkpoint.tensors().len()}));
    } else {
        println!("{} has {} tensors in {:.1} MB", out.display(), checkpoint.tensors().len(), bytes as f64 / 1e6);
    }
    Ok(())
}

fn default_name(convert: &Convert) -> PathBuf {
    convert.checkpoint.with_extension("safetensors")
}
