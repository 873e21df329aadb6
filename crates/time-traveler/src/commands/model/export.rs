//! `model export`: an SSD as a file of TensorFlow Lite or of ONNX.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use clap::Args;
use container::ModelKind;
use container::handlers::ssd::ModelFiles;
use dataset::formats::tfrecord::TfRecord;
use dataset::{Options, Reading, Source};
use serde_json::json;
use vision::export::{Graph, PostProcessing, Ranges, onnx, tflite};
use vision::ssd::Input;

use crate::choice::Choice;
use crate::escape::Shown;
use crate::terminal::progress::Progress;

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Folder of an SSD, with graph/ as TensorFlow's exporter writes it
    model: PathBuf,
    /// Format of the file
    #[arg(long, value_name = "tflite|onnx", hide_possible_values = true,
        value_parser = Choice::<Format>::of(&["tflite", "onnx"]))]
    format: Format,
    /// The file to write [default: model.tflite or model.onnx]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compute in whole numbers of 8 bits, by this record's pictures
    #[arg(long, value_name = "RECORD")]
    quantize: Option<PathBuf>,
    /// Answer with encodings of boxes and scores, without detections
    #[arg(long)]
    raw: bool,
    /// The most detections of a picture
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "raw",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    detections: u32,
    /// Suppress overlapping boxes of each class by itself, as `detect` does
    #[arg(long, conflicts_with = "raw")]
    by_class: bool,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Tflite,
    Onnx,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "tflite" => Ok(Self::Tflite),
            "onnx" => Ok(Self::Onnx),
            _ => Err("tflite or onnx would work".to_owned()),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tflite => "tflite",
            Self::Onnx => "onnx",
        })
    }
}

pub(super) fn run(export: &Export) -> anyhow::Result<()> {
    let is_onnx = export.format == Format::Onnx;
    ensure!(
        !is_onnx || export.quantize.is_none(),
        "--quantize is for --format tflite alone: a file of ONNX is in float32"
    );
    ensure!(export.model.is_dir(), "there is no folder {}: that of an SSD would work", export.model.shown());
    ensure!(
        ModelKind::of_folder(&export.model)? == ModelKind::Ssd,
        "{} is not the folder of an SSD: one with graph/pipeline.config and a checkpoint there can be exported",
        export.model.shown()
    );
    let files = ModelFiles::open(&export.model)?;
    let graph = files.identity.graph()?;
    let config = &files.identity.config;
    let settings: Option<PostProcessing> =
        (!export.raw).then(|| config.post_processing_of(export.detections as usize, export.by_class || is_onnx));
    let ranges = export.quantize.as_deref().map(|record| ranges(&graph, config.picture, record)).transpose()?;
    let written = match export.format {
        Format::Tflite => tflite(&graph, settings.as_ref(), ranges.as_ref()),
        Format::Onnx => onnx(&graph, settings.as_ref()),
    };
    let out = export.out.clone().unwrap_or_else(|| PathBuf::from(format!("model.{}", export.format)));
    std::fs::write(&out, &written).with_context(|| format!("{} cannot be written", out.shown()))?;
    let pictures = ranges.as_ref().map(Ranges::pictures);
    if export.json {
        let format = export.format.to_string();
        return print_line!("{}", json!({"file": out, "bytes": written.len(), "format": format, "pictures": pictures}));
    }
    let calibrated = pictures.map(|count| format!(", calibrated by {count} pictures")).unwrap_or_default();
    print_line!("{} has {:.1} MB{calibrated}", out.shown(), written.len() as f64 / 1e6)
}

/// The ranges of a graph's values over the first pictures of a record.
fn ranges(graph: &Graph, picture: [usize; 2], record: &Path) -> anyhow::Result<Ranges> {
    let unreadable = || format!("the record {} cannot be read", record.shown());
    let mut reading = Reading::default();
    let mut source = TfRecord::open(record, &Options::default(), &mut reading).with_context(unreadable)?;
    let mut progress = Progress::pieces("calibrating");
    let mut count = 0;
    let inputs = std::iter::from_fn(|| {
        loop {
            let encoded = match source.next(&mut reading).with_context(unreadable) {
                Ok(sample) => sample?.encoded,
                Err(error) => return Some(Err(error)),
            };
            if let Some(Ok(decoded)) = encoded.map(|encoded| picture::decode(&encoded)) {
                progress.at(count, Ranges::PICTURES as u64);
                count += 1;
                return Some(Ok(Input::of_original(&decoded, picture).values().to_vec()));
            }
        }
    });
    let ranges = Ranges::of_pictures(graph, inputs)?;
    progress.finish();
    if ranges.pictures() == 0 {
        bail!("the record {} has no picture: the record that the model was trained with would work", record.shown());
    }
    Ok(ranges)
}
