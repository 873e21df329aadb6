//! `dataset`: annotated pictures inspected, converted, split, drawn and made.

mod convert;
mod draw;
mod input_options;
mod inspect;
mod label_map_file;
mod make;
mod outcome;
mod overwriting;
mod split;
mod stored_pictures;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Dataset {
    /// Count the classes, and look for broken boxes, unreadable pictures, duplicates, and leaks between splits
    Inspect(inspect::Inspect),
    /// Write data sets in another format
    Convert(convert::Convert),
    /// Split data sets so that every class has its share in each split
    Split(split::Split),
    /// Draw pictures with their boxes and names on a contact sheet
    Draw(draw::Draw),
    /// Make a synthetic data set of shapes
    Make(make::Make),
}

pub(crate) fn run(dataset: &Dataset) -> anyhow::Result<()> {
    match dataset {
        Dataset::Inspect(inspect) => inspect::run(inspect),
        Dataset::Convert(convert) => convert::run(convert),
        Dataset::Split(split) => split::run(split),
        Dataset::Draw(draw) => draw::run(draw),
        Dataset::Make(make) => make::run(make),
    }
}
