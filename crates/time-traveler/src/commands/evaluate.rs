//! `evaluate`: how good detections are.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use dataset::evaluation::reading::{Part, read};
use dataset::evaluation::report::{self, Gallery};
use dataset::evaluation::{Assessment, Figures, Style};
use dataset::{Findings, Format, LocalPictures};

use crate::choice::Choice;
use crate::escape::{self, Shown};

/// The most faults that are printed.
const MOST_FAULTS: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// The objects that are there: a COCO file, a Ground Truth manifest, a folder of PASCAL VOC or of text files, and more
    ground_truth: PathBuf,
    /// What a program found, with scores: COCO results, a folder of text files, and more
    detections: PathBuf,
    /// Whose rules count [default: voc for folders of PASCAL VOC and of text files, else coco]
    #[arg(long, value_name = "coco|voc", hide_possible_values = true, value_parser = Choice::<Style>::of(&["coco", "voc"]))]
    style: Option<Style>,
    /// The format of the ground truth, if its name does not give it: ground-truth, coco, tfrecord, voc, text, open-images
    #[arg(long, value_name = "FORMAT")]
    from: Option<Format>,
    /// The format of the detections, if their name does not give it: coco-results, text, coco and the others
    #[arg(long, value_name = "FORMAT")]
    detections_from: Option<Format>,
    /// Count confusions and mistakes of detections with at least this score [default: the score with the best F1]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = finite)]
    threshold: Option<f64>,
    /// Write report.html, with plots and the worst mistakes, report.json, and for voc output.txt
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the pictures of the report lie [default: beside the ground truth]
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if f64::is_finite(number) => Ok(number),
        _ => Err("a number such as 0.5 works".to_owned()),
    }
}

pub(crate) fn run(evaluate: &Evaluate) -> anyhow::Result<()> {
    let truth = part(&evaluate.ground_truth, evaluate.from, "--from", "the ground truth")?;
    let detections = part(&evaluate.detections, evaluate.detections_from, "--detections-from", "detections")?;
    let style = evaluate.style.unwrap_or(match truth.format {
        Format::Voc | Format::PlainText => Style::Voc,
        _ => Style::Coco,
    });
    let images = evaluate.images.as_ref().map(|images| images.to_string_lossy().into_owned());
    let read = read(truth, detections, style, images.as_deref(), &LocalPictures)?;
    if read.comparison.truths().is_empty() {
        note_faults(&read.findings);
        bail!("the ground truth {} has no object", truth.path.shown());
    }
    let assessment = Assessment::of(&read.comparison, style, evaluate.threshold);
    if let Some(out) = &evaluate.out {
        let gallery = Gallery::of(&read.comparison, &assessment, truth.path, &LocalPictures);
        let page = report::page(&read.comparison, &assessment, &gallery);
        let json = report::json(&read.comparison, &assessment);
        std::fs::create_dir_all(out).with_context(|| format!("the folder {} cannot be made", out.shown()))?;
        write(&out.join("report.html"), &page)?;
        write(&out.join("report.json"), &format!("{json:#}\n"))?;
        if let Figures::Voc(voc) = &assessment.figures {
            write(&out.join("output.txt"), &voc.as_output_txt(read.comparison.classes()))?;
        }
    }
    if evaluate.json {
        print_line!("{}", report::json(&read.comparison, &assessment))?;
    } else {
        print_line!("{}", report::text(&read.comparison, &assessment))?;
    }
    note_faults(&read.findings);
    match read.findings.fault_count() {
        0 => Ok(()),
        1 => bail!("1 record was left out, named above: the figures are those of the others"),
        count => bail!("{count} records were left out, named above: the figures are those of the others"),
    }
}

/// A file or folder with its format.
fn part<'a>(path: &'a Path, format: Option<Format>, option: &str, what: &str) -> anyhow::Result<Part<'a>> {
    let known = format.or_else(|| Format::of(path));
    // The name of a TFRecord may stand for shards.
    if !path.exists() && known != Some(Format::TfRecord) {
        bail!("{} does not exist: a file or a folder of {what} works", path.shown());
    }
    let Some(format) = known else {
        let names = Format::ALL.map(Format::name).join(", ");
        bail!("the name {} does not give its format: {option} with one of {names} works", path.shown());
    };
    Ok(Part { path, format })
}

/// Names what was left out.
fn note_faults(findings: &Findings) {
    for fault in findings.faults().iter().take(MOST_FAULTS) {
        note!("{}", escape::line(&fault.to_string()));
    }
    let more = findings.fault_count().saturating_sub(MOST_FAULTS as u64);
    if more > 0 {
        note!("and {more} more");
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.shown()))
}
