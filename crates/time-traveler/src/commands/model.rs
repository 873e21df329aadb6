//! `model`: inspect a checkpoint, convert it, pack a model folder for SageMaker, export a network to other programs.

mod convert;
mod export;
mod inspect;
mod pack;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Show the tensors of a checkpoint, and whether the SAM engine can use it
    Inspect(inspect::Inspect),
    /// Write a SAM checkpoint as safetensors, which loads without a conversion
    Convert(convert::Convert),
    /// Pack a model folder as SageMaker expects it
    Pack(pack::Pack),
    /// Write an SSD as a file of TensorFlow Lite or ONNX
    Export(export::Export),
}

pub(crate) fn run(model: &Model) -> anyhow::Result<()> {
    match model {
        Model::Inspect(inspect) => inspect::run(inspect),
        Model::Convert(convert) => convert::run(convert),
        Model::Pack(pack) => pack::run(pack),
        Model::Export(export) => export::run(export),
    }
}
