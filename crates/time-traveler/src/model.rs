//! `model`: what is in a checkpoint; another form of it; a model folder for SageMaker.

mod convert;
mod inspect;
mod pack;

use crate::cli::Model;

pub(crate) fn run(model: &Model) -> anyhow::Result<()> {
    match model {
        Model::Inspect(inspect) => inspect::run(inspect),
        Model::Convert(convert) => convert::run(convert),
        Model::Pack(pack) => pack::run(pack),
    }
}
