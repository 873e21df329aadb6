//! `dataset split`: training, validation and test sets.

use std::path::PathBuf;

use clap::Args;
use dataset::export::Exporter;
use dataset::split::{Balance, stratify};
use dataset::{Classes, Format, Inputs, Reading};
use serde_json::{Value, json};

use super::convert::{WRITTEN, WritingOptions};
use super::input_options::InputOptions;
use super::label_map_file::LabelMapFile;
use super::outcome;
use super::stored_pictures::StoredPictures;
use crate::choice::Choice;
use crate::escape::{self, Shown};
use crate::terminal::progress::Progress;

/// Names of splits where none are given.
const NAMES: [&str; 3] = ["train", "val", "test"];

#[derive(Debug, Args)]
pub(crate) struct Split {
    #[command(flatten)]
    input: InputOptions,
    /// The folder to write the splits into
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The shares of the splits; only their ratios count
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_values_t = [60.0, 20.0, 20.0], value_parser = share)]
    shares: Vec<f64>,
    /// The names of the splits [default: train,val,test]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    names: Vec<String>,
    /// Begin the names of files with this, and a hyphen
    #[arg(long, value_name = "NAME")]
    prefix: Option<String>,
    /// Another seed gives other splits
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The format to write [default: that of the first input]
    #[arg(long, value_name = "FORMAT", value_parser = Choice::<Format>::of(&WRITTEN))]
    to: Option<Format>,
    #[command(flatten)]
    writing: WritingOptions,
    /// Print the balance as one line of JSON
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && f64::is_finite(share) => Ok(share),
        _ => Err("numbers above 0 work, such as 60,20,20".to_owned()),
    }
}

impl Split {
    fn names(&self) -> anyhow::Result<Vec<String>> {
        let count = self.shares.len();
        anyhow::ensure!(count <= 255, "{count} splits: at most 255 work");
        let names: Vec<String> = match &self.names[..] {
            [] if count <= NAMES.len() => NAMES[..count].iter().map(|name| (*name).to_owned()).collect(),
            [] => (1..=count).map(|number| format!("part-{number}")).collect(),
            names => names.to_vec(),
        };
        anyhow::ensure!(names.len() == count, "{} names for {count} shares: as many names as shares work", names.len());
        for (index, name) in names.iter().enumerate() {
            let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
            anyhow::ensure!(is_plain && !names[..index].contains(name), "the name {name:?} is no new name of a file");
        }
        Ok(names)
    }
}

pub(crate) fn run(split: &Split) -> anyhow::Result<()> {
    let names = split.names()?;
    let inputs = split.input.inputs()?;
    let format = match (split.to, inputs[0].format) {
        (Some(format), _) => format,
        (None, Format::Pets) => Format::Folders,
        (None, format) => format,
    };
    let options = split.input.options(format == Format::GroundTruth);
    let pictures = StoredPictures::default();
    let source = Inputs { inputs: &inputs, options: &options, pictures: &pictures };

    let mut targets = Vec::with_capacity(names.len());
    for name in &names {
        let stem = split.prefix.as_ref().map_or_else(|| name.clone(), |prefix| format!("{prefix}-{name}"));
        let out = split.out.join(format.file_name(&stem));
        let mut target = split.writing.target(&out, &options.jobs);
        if let (None, Some(prefix)) = (&split.writing.job_name, &split.prefix) {
            target.job.clone_from(prefix);
        }
        split.writing.refuse_inputs(&inputs, &out, format, &target)?;
        targets.push((name, out, target));
    }

    // First only the classes of each picture.
    let filter = split.writing.filter();
    let mut first = Reading::default();
    let label_map = match &targets[..] {
        [(_, out, _), ..] if format == Format::TfRecord => Some(LabelMapFile::beside(out, &mut first.classes)?),
        _ => None,
    };
    let mut shown: Vec<Box<[u32]>> = Vec::new();
    source.for_each(&mut first, |_, mut sample, reading| {
        if filter.keeps(&mut sample, &reading.classes) {
            shown.push(sample.classes().into_iter().map(|class| class.0).collect());
        }
        Ok(())
    })?;
    let splits = stratify(&shown, &split.shares, split.seed);

    let mut reading = Reading { classes: first.classes, ..Reading::default() };
    let mut balance = Balance::new(&split.shares);
    label_map.as_ref().map(|file| file.with(&reading.classes)).transpose()?;
    let mut exporters = Vec::with_capacity(targets.len());
    for (name, out, target) in &targets {
        let placement = split.writing.placement(Some(name));
        exporters.push(Exporter::create(out, format, target, &filter, placement, &pictures)?);
    }
    let mut progress = Progress::pieces("splitting");
    let mut used = 0;
    source.for_each(&mut reading, |_, mut sample, reading| {
        // Not copied: a picture's bytes are many.
        let (encoded, line) = (sample.encoded.take(), sample.line.take());
        let mut counted = sample.clone();
        let is_used = filter.keeps(&mut counted, &reading.classes);
        (sample.encoded, sample.line) = (encoded, line);
        if !is_used {
            // The exporter says why.
            return exporters[0].write(sample, reading);
        }
        let part = usize::from(splits.get(used).copied().unwrap_or_default());
        used += 1;
        progress.at(used as u64, splits.len() as u64);
        balance.add(part, &counted);
        exporters[part].write(sample, reading)
    })?;
    progress.finish();
    let mut files = Vec::new();
    for exporter in exporters {
        files.extend(exporter.finish(&mut reading)?.files);
    }
    if let Some(file) = label_map {
        files.push(file.write(&reading.classes)?);
    }
    if split.json {
        let mut line = as_json(&balance, &names, &reading.classes);
        line["files"] = json!(files);
        line["findings"] = outcome::as_json(&reading.findings);
        print_line!("{line}")?;
    } else {
        files.iter().try_for_each(|file| print_line!("{}", file.shown()))?;
        print_table(&balance, &names, &reading.classes)?;
    }
    outcome::report(&reading.findings)
}

fn as_json(balance: &Balance, names: &[String], classes: &Classes) -> Value {
    let classes: Vec<Value> = classes
        .in_order()
        .into_iter()
        .filter_map(|id| Some((id, balance.classes.get(id.0 as usize)?)))
        .map(|(id, class)| {
            json!({"name": classes.shown(id), "pictures": class.pictures, "annotations": class.annotations,
                "deviation": balance.deviation(class)})
        })
        .collect();
    json!({"splits": names, "shares": balance.shares, "pictures": balance.pictures, "classes": classes})
}

/// A line for each class: its pictures in every split, and how far the worst is from its share.
fn print_table(balance: &Balance, names: &[String], classes: &Classes) -> anyhow::Result<()> {
    let row = |name: &str, counts: &[u64], last: String| {
        let counts: Vec<String> = counts.iter().map(|count| format!("{count:>10}")).collect();
        print_line!("{:<24}{} {last:>8}", shortened(name), counts.concat())
    };
    let heads: Vec<String> = names.iter().map(|name| format!("{:>10}", shortened(name))).collect();
    print_line!("{:<24}{} {:>8}", "pictures of", heads.concat(), "off by")?;
    for id in classes.in_order() {
        let Some(class) = balance.classes.get(id.0 as usize) else { continue };
        row(&classes.shown(id), &class.pictures, format!("{:.1}", balance.deviation(class)))?;
    }
    row("all", &balance.pictures, String::new())
}

/// A name of at most 23 letters.
pub(super) fn shortened(name: &str) -> String {
    let name = escape::line(name);
    match name.chars().count() {
        ..=23 => name.into_owned(),
        _ => name.chars().take(22).chain(['…']).collect(),
    }
}
