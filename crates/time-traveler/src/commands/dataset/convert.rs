//! `dataset convert`: data sets in another format.

use std::path::{Path, PathBuf};

use clap::Args;
use dataset::export::{Exported, Exporter, Filter, Placement};
use dataset::formats::ground_truth::job_of;
use dataset::formats::tfrecord::Compression;
use dataset::{Format, Input, Inputs, Reading, Target};
use serde_json::json;

use super::input_options::InputOptions;
use super::label_map_file::LabelMapFile;
use super::stored_pictures::StoredPictures;
use super::{outcome, overwriting};
use crate::choice::Choice;
use crate::escape::Shown;
use crate::terminal::progress::Progress;

/// The names of formats that are written.
pub(super) const WRITTEN: [&str; 9] =
    ["ground-truth", "coco", "coco-results", "tfrecord", "voc", "text", "folders", "pets", "open-images"];

#[derive(Debug, Args)]
pub(crate) struct Convert {
    #[command(flatten)]
    input: InputOptions,
    /// The format to write
    #[arg(long, value_name = "FORMAT", value_parser = Choice::<Format>::of(&WRITTEN))]
    to: Format,
    /// The file to write, or the folder with the formats voc, text, folders and pets
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    #[command(flatten)]
    writing: WritingOptions,
    /// Print what was written as one line of JSON
    #[arg(long)]
    json: bool,
}

/// How a data set is written.
#[derive(Debug, Args)]
pub(super) struct WritingOptions {
    /// Copy every picture into this folder
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    /// Name pictures by this beginning, such as s3://bucket/pictures, and their file's name
    #[arg(long, value_name = "PREFIX")]
    uri: Option<String>,
    /// ground-truth: the job to write [default: --job, or the file's name]
    #[arg(long, value_name = "NAME")]
    pub(super) job_name: Option<String>,
    /// tfrecord: the number of files
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shards: u32,
    /// tfrecord: the compression of whole files
    #[arg(long, value_name = "none|gzip|zlib", default_value = "none", hide_possible_values = true,
        value_parser = Choice::<CompressionName>::of(&["none", "gzip", "zlib"]))]
    compression: CompressionName,
    /// Keep only annotations of this class; several times for several classes
    #[arg(long = "keep", value_name = "CLASS")]
    kept: Vec<String>,
    /// Leave out boxes of a crowd or group
    #[arg(long)]
    drop_crowds: bool,
    /// Leave out drawings, statues and insides
    #[arg(long)]
    drop_depictions: bool,
    /// Leave out pictures without annotations
    #[arg(long)]
    drop_empty: bool,
}

/// A word for a compression.
#[derive(Debug, Clone, Copy)]
struct CompressionName(Compression);

impl std::str::FromStr for CompressionName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(Compression::None)),
            "gzip" => Ok(Self(Compression::Gzip)),
            "zlib" => Ok(Self(Compression::Zlib)),
            _ => Err("none, gzip or zlib works"),
        }
    }
}

impl WritingOptions {
    pub(super) fn filter(&self) -> Filter {
        Filter {
            classes: self.kept.clone(),
            drops_crowds: self.drop_crowds,
            drops_depictions: self.drop_depictions,
            drops_empty: self.drop_empty,
        }
    }

    /// How `out` is written. `jobs` are those that were asked for when reading.
    pub(super) fn target(&self, out: &Path, jobs: &[String]) -> Target {
        let stem = || out.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let named = self.job_name.clone().or_else(|| jobs.first().cloned()).or_else(|| job_of(out)).or_else(stem);
        Target {
            job: named.unwrap_or_else(|| "labels".to_owned()),
            shards: self.shards,
            compression: self.compression.0,
        }
    }

    /// Refuses to write what is read.
    pub(super) fn refuse_inputs(
        &self,
        inputs: &[Input],
        out: &Path,
        to: Format,
        target: &Target,
    ) -> anyhow::Result<()> {
        let files = to.files(out, target);
        match to {
            Format::Voc | Format::PlainText | Format::Folders | Format::Pets => {
                overwriting::refuse_folders(inputs, &files, "--out")?;
            }
            _ => overwriting::refuse(inputs, &files, "--out")?,
        }
        overwriting::refuse_folders(inputs, self.pictures.as_slice(), "--pictures")
    }

    /// Where pictures go; `below` is added to the folder of copies.
    pub(super) fn placement(&self, below: Option<&str>) -> Placement {
        let folder = |folder: &PathBuf| below.map_or_else(|| folder.clone(), |below| folder.join(below));
        Placement { copies: self.pictures.as_ref().map(folder), uri: self.uri.clone() }
    }
}

pub(crate) fn run(convert: &Convert) -> anyhow::Result<()> {
    let inputs = convert.input.inputs()?;
    let options = convert.input.options(convert.to == Format::GroundTruth);
    let target = convert.writing.target(&convert.out, &options.jobs);
    convert.writing.refuse_inputs(&inputs, &convert.out, convert.to, &target)?;
    let pictures = StoredPictures::default();
    let source = Inputs { inputs: &inputs, options: &options, pictures: &pictures };
    let mut reading = Reading::default();
    let is_record = convert.to == Format::TfRecord;
    let label_map = is_record.then(|| LabelMapFile::beside(&convert.out, &mut reading.classes)).transpose()?;
    source.learn_classes(&mut reading)?;
    // A label map that does not go with the classes is refused before anything is written.
    label_map.as_ref().map(|file| file.with(&reading.classes)).transpose()?;
    let filter = convert.writing.filter();
    let placement = convert.writing.placement(None);
    let mut exporter = Exporter::create(&convert.out, convert.to, &target, &filter, placement, &pictures)?;
    let progress = Progress::endless("converting");
    let mut done = 0;
    source.for_each(&mut reading, |_, sample, reading| {
        done += 1;
        progress.count(done);
        exporter.write(sample, reading)
    })?;
    progress.finish();
    let mut exported = exporter.finish(&mut reading)?;
    if let Some(file) = label_map {
        exported.files.push(file.write(&reading.classes)?);
    }
    say(&exported, &reading, convert.json)
}

/// Prints what was written, and what was not.
pub(super) fn say(exported: &Exported, reading: &Reading, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let mut line = outcome::as_json(&reading.findings);
        line["pictures"] = json!(exported.pictures);
        line["files"] = json!(exported.files);
        line["classes"] = json!(reading.classes.len());
        print_line!("{line}")?;
        anyhow::ensure!(reading.findings.fault_count() == 0, "some records or pictures could not be used");
        return Ok(());
    }
    for file in &exported.files {
        print_line!("{}", file.shown())?;
    }
    print_line!("{} pictures, {} classes", exported.pictures, reading.classes.len())?;
    outcome::report(&reading.findings)
}
