//! The trained network as a file of TensorFlow Lite, beside the model.

use std::path::Path;

use anyhow::{Context, ensure};
use nn::checkpoint::Checkpoint;
use vision::VisionError;
use vision::export::{Graph, Ranges, tflite};
use vision::ssd::training::Examples;
use vision::ssd::{Config, Input, identify};

use super::records::Records;

/// The file, as the original names it.
const FILE: &str = "tflite_quant_graph.tflite";
/// The most detections of a picture, as TensorFlow's exporter for mobile devices has it.
const DETECTIONS: usize = 10;

/// Writes the network with these variables: in float32, or in whole numbers of 8 bits, by the pictures that it was trained with.
pub(super) fn write(
    folder: &Path,
    variables: &Checkpoint,
    config: &Config,
    whole: Option<&Records>,
) -> anyhow::Result<()> {
    let graph = identify(variables, config.clone())?.graph()?;
    let ranges = whole.map(|records| ranges(&graph, config.picture, records)).transpose()?;
    let settings = config.post_processing_of(DETECTIONS, false);
    let file = folder.join(FILE);
    let written = tflite(&graph, Some(&settings), ranges.as_ref());
    std::fs::write(&file, written).with_context(|| format!("{} cannot be written", file.display()))
}

fn ranges(graph: &Graph, picture: [usize; 2], records: &Records) -> anyhow::Result<Ranges> {
    // Training has named the pictures that cannot be decoded.
    let decoded = (0..records.count()).filter_map(|index| records.example(index).ok());
    let inputs = decoded.map(|(decoded, _)| Ok(Input::of_original(&decoded, picture).values().to_vec()));
    let ranges = Ranges::of_pictures::<VisionError>(graph, inputs)?;
    ensure!(ranges.pictures() > 0, "no picture of the training record can be decoded to calibrate whole numbers by");
    Ok(ranges)
}
