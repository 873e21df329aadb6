//! The data sets that a command reads.

use std::path::PathBuf;

use clap::Args;
use dataset::{Format, Input, Options};

use crate::choice::Choice;

/// The names of formats that are read.
pub(super) const FORMATS: [&str; 9] =
    ["ground-truth", "coco", "coco-results", "tfrecord", "voc", "text", "folders", "pets", "open-images"];

#[derive(Debug, Args)]
pub(super) struct InputOptions {
    /// Data sets: files, or folders of the formats voc, text, folders and pets
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The format of the inputs [default: that of each name]
    #[arg(long, value_name = "FORMAT", value_parser = Choice::<Format>::of(&FORMATS))]
    from: Option<Format>,
    /// Where pictures lie that the data set names without a folder: a folder, or the beginning of an s3:// URI [default: the folder of
    /// the data set, or `images` in it]
    #[arg(long, value_name = "DIR")]
    images: Option<String>,
    /// ground-truth: the labelling job to read; several times for several jobs [default: that of NAME-output.manifest, or the
    /// only job of a line]
    #[arg(long = "job", value_name = "NAME")]
    jobs: Vec<String>,
    /// tfrecord: the file with the names and numbers of classes
    #[arg(long, value_name = "FILE.pbtxt")]
    label_map: Option<PathBuf>,
    /// open-images: the file with the names of labels
    #[arg(long, value_name = "FILE.csv")]
    descriptions: Option<PathBuf>,
    /// open-images: the hierarchy of labels; each object is repeated for every class above its own
    #[arg(long, value_name = "FILE.json")]
    hierarchy: Option<PathBuf>,
    /// coco-results: the COCO file whose pictures they mean
    #[arg(long, value_name = "FILE.json")]
    results_of: Option<PathBuf>,
}

impl InputOptions {
    /// The data sets with their formats.
    pub(super) fn inputs(&self) -> anyhow::Result<Vec<Input>> {
        Ok(self.inputs.iter().map(|path| Input::new(path, self.from)).collect::<Result<_, _>>()?)
    }

    /// How they are read.
    pub(super) fn options(&self, keeps_lines: bool) -> Options {
        Options {
            images: self.images.clone(),
            jobs: self.jobs.clone(),
            keeps_lines,
            label_map: self.label_map.clone(),
            descriptions: self.descriptions.clone(),
            hierarchy: self.hierarchy.clone(),
            results_of: self.results_of.clone(),
        }
    }
}
