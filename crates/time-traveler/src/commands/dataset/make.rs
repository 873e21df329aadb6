//! `dataset make`: synthetic data sets.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use dataset::export::{Exporter, Filter, Placement};
use dataset::formats::ground_truth::job_of;
use dataset::make::{BREEDS, Made, Recipe};
use dataset::{Format, LocalPictures, Reading, Source, Target};

use super::convert::{WRITTEN, say};
use super::label_map_file::LabelMapFile;
use crate::choice::Choice;
use crate::escape::Shown;
use crate::terminal::progress::Progress;

#[derive(Debug, Args)]
pub(crate) struct Make {
    /// The folder to write
    #[arg(value_name = "DIR")]
    out: PathBuf,
    /// The format of the annotations [default: coco, or folders with --classification]
    #[arg(long, value_name = "FORMAT", value_parser = Choice::<Format>::of(&WRITTEN))]
    format: Option<Format>,
    /// Short for --format tfrecord
    #[arg(long, conflicts_with = "format")]
    tfrecord: bool,
    /// The name of the annotations' file, without its extension
    #[arg(long, value_name = "NAME", default_value = "annotations", value_parser = plain_name)]
    name: String,
    /// The number of pictures
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pictures: u32,
    /// Width and height of a picture in pixels
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(16..=4096))]
    side: u32,
    /// The number of classes, of circle, square, triangle, ring, cross and star; up to 12 breeds with --format pets
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=BREEDS.len() as i64))]
    classes: u32,
    /// The most shapes of a picture
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    most: u32,
    /// One shape in each picture, which is the class of the whole picture
    #[arg(long)]
    classification: bool,
    /// Write pictures as PNG in place of JPEG
    #[arg(long)]
    png: bool,
    /// Another seed gives other pictures
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// tfrecord: the number of files
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shards: u32,
    /// Print what was written as one line of JSON
    #[arg(long)]
    json: bool,
}

fn plain_name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.starts_with('.') || text.contains(['/', '\\']) {
        true => Err("a name without folders works".to_owned()),
        false => Ok(text.to_owned()),
    }
}

pub(crate) fn run(make: &Make) -> anyhow::Result<()> {
    let is_pets = make.format == Some(Format::Pets);
    anyhow::ensure!(!(is_pets && make.png), "the names of pets end in .jpg: without --png works");
    let is_classification = make.classification || is_pets;
    let unnamed = if make.classification { Format::Folders } else { Format::Coco };
    let format = if make.tfrecord { Format::TfRecord } else { make.format.unwrap_or(unnamed) };
    anyhow::ensure!(
        is_classification || format != Format::Folders,
        "folders hold classes of whole pictures only: --classification makes those"
    );
    let recipe = Recipe {
        pictures: make.pictures,
        side: make.side,
        classes: make.classes as usize,
        most: make.most,
        is_classification,
        is_breeds: is_pets,
        is_png: make.png,
        seed: make.seed,
    };
    let out = match format {
        Format::Voc | Format::Folders | Format::Pets => make.out.clone(),
        Format::PlainText => make.out.join("boxes"),
        _ => make.out.join(format.file_name(&make.name)),
    };
    let copies = match format {
        Format::TfRecord | Format::Folders | Format::Pets => None,
        Format::Voc => Some(make.out.join("JPEGImages")),
        _ => Some(make.out.join("images")),
    };
    let mut reading = Reading::default();
    let mut made = Made::new(recipe, &mut reading.classes)?;
    // Readers take the job's name from a file's name that ends so.
    let job = job_of(&out).unwrap_or_else(|| make.name.clone());
    let target = Target { job, shards: make.shards, ..Target::default() };
    let (filter, placement) = (Filter::default(), Placement { copies, uri: None });
    let mut exporter = Exporter::create(&out, format, &target, &filter, placement, &LocalPictures)?;
    let mut progress = Progress::pieces("making");
    let mut done = 0;
    while let Some(sample) = made.next(&mut reading)? {
        exporter.write(sample, &mut reading)?;
        done += 1;
        progress.at(done, u64::from(make.pictures));
    }
    progress.finish();
    let mut exported = exporter.finish(&mut reading)?;
    if format == Format::TfRecord {
        exported.files.push(LabelMapFile::new(&out).write(&reading.classes)?);
    }
    if is_pets {
        exported.files.extend(strays(&make.out)?);
    }
    say(&exported, &reading, make.json)
}

/// Files that are no pictures, as the Oxford-IIIT pets have some among theirs. Who reads the data set has to pass over them.
fn strays(out: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let images = out.join("images");
    let files = [images.join("Bengal_1.mat"), images.join("README.txt")];
    for file in &files {
        std::fs::write(file, "Not a picture.\n").with_context(|| format!("{} cannot be written", file.shown()))?;
    }
    Ok(files)
}
