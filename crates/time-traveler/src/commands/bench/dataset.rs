//! `bench dataset`: how fast data sets are read.

use std::fmt::Write as _;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use clap::Args;
use dataset::formats::tfrecord::{Records, write_record};
use dataset::{Format, LocalPictures, Options, Reading};
use serde_json::json;

use super::measurement::{median, report};
use crate::memory;

/// Boxes of a line; four of them and the rest take some 700 bytes.
const BOXES: usize = 4;
/// The bytes of a record: those of a photograph of half a megapixel as JPEG.
const RECORD: usize = 128 << 10;

#[derive(Debug, Args)]
pub(crate) struct BenchDataset {
    /// Lines of the Ground Truth manifest
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    lines: u32,
    /// Records of 128 KiB in the TFRecord file
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    records: u32,
    /// Number of times that each file is read; the median of the times is reported
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Print the times as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(bench: &BenchDataset) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (manifest, record) = (folder.path().join("bench.manifest"), folder.path().join("bench.record"));
    write_manifest(&manifest, bench.lines).context("the manifest cannot be written")?;
    write_records(&record, bench.records).context("the TFRecord file cannot be written")?;
    let runs = usize::from(bench.runs);
    anyhow::ensure!(annotations(&manifest)? == BOXES * bench.lines as usize, "the manifest is read wrongly");
    let lines = median(runs, || drop(black_box(annotations(&manifest))));
    anyhow::ensure!(bytes(&record)? == RECORD * bench.records as usize, "the TFRecord file is read wrongly");
    let records = median(runs, || drop(black_box(bytes(&record))));
    let rate = |file: &Path, milliseconds: f64| -> anyhow::Result<f64> {
        Ok((file.metadata()?.len() as f64 / 1e6 / (milliseconds / 1e3)).round())
    };
    let mut more = vec![
        ("manifestBytes", json!(manifest.metadata()?.len())),
        ("manifestMbPerSecond", json!(rate(&manifest, lines)?)),
        ("recordBytes", json!(record.metadata()?.len())),
        ("recordMbPerSecond", json!(rate(&record, records)?)),
    ];
    more.extend(memory::peak().map(|bytes| ("peakMemoryBytes", json!(bytes))));
    report(bench.json, runs, &[("manifest", lines), ("records with checksums", records)], &more)
}

/// Reads a manifest, and counts its boxes.
fn annotations(file: &Path) -> anyhow::Result<usize> {
    let mut reading = Reading::default();
    let mut source = Format::GroundTruth.open(file, &Options::default(), &LocalPictures, &mut reading)?;
    let mut count = 0;
    while let Some(sample) = source.next(&mut reading)? {
        count += sample.objects.len();
    }
    Ok(count)
}

/// Reads records, checks both checksums of each, and counts their bytes.
fn bytes(file: &Path) -> anyhow::Result<usize> {
    let mut records = Records::open(file)?;
    let mut count = 0;
    while let Some((_, record)) = records.read_next() {
        count += record?.len();
    }
    Ok(count)
}

fn write_manifest(file: &Path, lines: u32) -> anyhow::Result<()> {
    let mut writer = BufWriter::new(File::create(file)?);
    for line in 0..lines {
        let (mut boxes, mut sure) = (String::new(), String::new());
        for number in 0..BOXES {
            let comma = if number == 0 { "" } else { ", " };
            let (left, top) = ((line as usize * 7 + number * 131) % 900, (line as usize * 3 + number * 57) % 600);
            write!(
                boxes,
                "{comma}{{\"class_id\": {}, \"left\": {left}, \"top\": {top}, \"width\": {}, \"height\": {}}}",
                number % 3,
                20 + left % 100,
                20 + top % 100
            )?;
            write!(sure, "{comma}{{\"confidence\": 0.{}}}", 10 + left % 90)?;
        }
        writeln!(
            writer,
            "{{\"source-ref\": \"s3://bucket/pictures/{line:08}.jpg\", \"job\": {{\"annotations\": [{boxes}], \"image_size\": \
             [{{\"width\": 1024, \"height\": 768, \"depth\": 3}}]}}, \"job-metadata\": {{\"job-name\": \"labeling-job/job\", \
             \"class-map\": {{\"0\": \"cap\", \"1\": \"watch\", \"2\": \"glasses\"}}, \"human-annotated\": \"yes\", \"objects\": \
             [{sure}], \"creation-date\": \"2026-01-02T03:04:05.678000\", \"type\": \"groundtruth/object-detection\"}}}}"
        )?;
    }
    Ok(writer.flush()?)
}

fn write_records(file: &Path, records: u32) -> anyhow::Result<()> {
    let mut writer = BufWriter::new(File::create(file)?);
    let mut record: Vec<u8> = (0..RECORD).map(|byte| (byte * 31 % 251) as u8).collect();
    for number in 0..records {
        record[..4].copy_from_slice(&number.to_le_bytes());
        write_record(&mut writer, &record)?;
    }
    Ok(writer.flush()?)
}
