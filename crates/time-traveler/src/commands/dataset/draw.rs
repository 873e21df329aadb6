//! `dataset draw`: contact sheets.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use dataset::draw::{fitting, panel, sheet};
use dataset::{DatasetError, Pictures, Reading};
use image::ImageFormat;

use super::input_options::InputOptions;
use super::outcome;
use super::stored_pictures::StoredPictures;
use crate::escape::Shown;
use crate::terminal::progress::Progress;

#[derive(Debug, Args)]
pub(crate) struct Draw {
    #[command(flatten)]
    input: InputOptions,
    /// The sheet to write: a name that ends in .png or .jpg
    #[arg(long, value_name = "OUT.png", value_parser = picture_file)]
    out: PathBuf,
    /// Pictures in a row
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    columns: u32,
    /// Rows of a sheet
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    rows: u32,
    /// Width and height of a picture on the sheet, in pixels
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=2048))]
    side: u32,
    /// Number of pictures to pass over first
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,
    /// Draw all pictures: further sheets are OUT-2.png and so on
    #[arg(long)]
    all: bool,
}

fn picture_file(text: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(text);
    match ImageFormat::from_path(&file) {
        Ok(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP) => Ok(file),
        _ => Err("a name that ends in .png, .jpg or .webp works".to_owned()),
    }
}

pub(crate) fn run(draw: &Draw) -> anyhow::Result<()> {
    let inputs = draw.input.inputs()?;
    let options = draw.input.options(false);
    let pictures = StoredPictures::default();
    let mut reading = Reading::default();
    let [columns, rows] = fitting(draw.columns, draw.rows, draw.side);
    let room = (columns * rows) as usize;
    if (columns, rows) != (draw.columns, draw.rows) {
        note!("a sheet has at most 16000 pixels on a side: {columns} columns and {rows} rows of {} pixels", draw.side);
    }
    let (mut panels, mut sheets, mut passed) = (Vec::new(), 0, 0);
    let progress = Progress::endless("drawing");
    'inputs: for input in &inputs {
        let mut source = input.format.open(&input.path, &options, &pictures, &mut reading)?;
        while let Some(mut sample) = source.next(&mut reading)? {
            passed += 1;
            if passed <= draw.skip {
                continue;
            }
            if !draw.all && panels.len() == room {
                break 'inputs;
            }
            let bytes = sample.encoded.take().map_or_else(|| pictures.bytes(&sample.place), Ok);
            let decoded = bytes.map_err(|error| match error {
                DatasetError::Picture { reason, .. } => reason,
                error => error.to_string(),
            });
            let decoded = decoded.and_then(|bytes| picture::decode(&bytes).map_err(|error| error.to_string()));
            match decoded {
                Ok(picture) => {
                    panels.push((panel(&picture, &sample, &reading.classes, draw.side), sample.name.clone()));
                }
                Err(reason) => reading.findings.fault(Path::new(&sample.place), None, reason),
            }
            progress.count(passed);
            if draw.all && panels.len() == room {
                sheets += 1;
                write(draw, sheets, &panels)?;
                panels.clear();
            }
        }
    }
    progress.finish();
    if !panels.is_empty() {
        sheets += 1;
        write(draw, sheets, &panels)?;
    }
    outcome::report(&reading.findings)?;
    anyhow::ensure!(sheets > 0, "there is no picture to draw");
    Ok(())
}

/// Writes a sheet, whose name has its number from the second on.
fn write(draw: &Draw, number: u32, panels: &[(image::RgbImage, String)]) -> anyhow::Result<()> {
    let mut out = draw.out.clone();
    if number > 1 {
        let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        out.set_file_name(format!("{}-{number}.{}", part(draw.out.file_stem()), part(draw.out.extension())));
    }
    let drawn = sheet(panels, draw.columns, draw.side);
    drawn.save(&out).with_context(|| format!("{} cannot be written", out.shown()))?;
    print_line!("{}: {} pictures", out.shown(), panels.len())
}
