//! `dataset inspect`: what is in data sets, and what is wrong with them.

use clap::Args;
use dataset::inspect::{Inspection, Problem};
use dataset::{Classes, DatasetError, Inputs, Pictures, Reading};
use serde_json::{Value, json};

use super::input_options::InputOptions;
use super::outcome;
use super::split::shortened;
use super::stored_pictures::StoredPictures;
use crate::escape::Shown;
use crate::terminal::progress::Progress;

/// Examples of a problem that are printed.
const EXAMPLES: usize = 5;

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    input: InputOptions,
    /// Do not look at the pictures, only at their annotations
    #[arg(long)]
    no_pictures: bool,
    /// Exit with code 1 if there is any problem
    #[arg(long)]
    strict: bool,
    /// Print everything as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(inspect: &Inspect) -> anyhow::Result<()> {
    let inputs = inspect.input.inputs()?;
    let options = inspect.input.options(false);
    let pictures = StoredPictures::default();
    let source = Inputs { inputs: &inputs, options: &options, pictures: &pictures };
    let (mut reading, mut inspection) = (Reading::default(), Inspection::default());
    let progress = Progress::endless("inspecting");
    let mut done = 0;
    source.for_each(&mut reading, |input, mut sample, reading| {
        done += 1;
        progress.count(done);
        if inspect.no_pictures {
            inspection.add(input, &sample, &reading.classes, None);
            return Ok(());
        }
        let bytes = match sample.encoded.take() {
            Some(bytes) => Ok(bytes),
            None => pictures.bytes(&sample.place).map_err(|error| match error {
                DatasetError::Picture { reason, .. } => reason,
                error => error.to_string(),
            }),
        };
        inspection.add(input, &sample, &reading.classes, Some(bytes.as_deref().map_err(Clone::clone)));
        Ok(())
    })?;
    progress.finish();
    if inspect.json {
        let mut line = as_json(&inspection, &reading.classes);
        line["findings"] = outcome::as_json(&reading.findings);
        print_line!("{line}")?;
    } else {
        for (input, count) in inputs.iter().zip(&inspection.pictures) {
            print_line!("{}, {}: {count} pictures", input.path.shown(), input.format)?;
        }
        print(&inspection, &reading.classes)?;
    }
    outcome::report(&reading.findings)?;
    let problems = inspection.problem_count();
    anyhow::ensure!(!inspect.strict || problems == 0, "{problems} problems were found");
    Ok(())
}

fn print(inspection: &Inspection, classes: &Classes) -> anyhow::Result<()> {
    print_line!(
        "{} without annotations (negative examples), {} not annotated, {} with objects of one class",
        inspection.negatives,
        inspection.unannotated,
        inspection.one_class
    )?;
    print_line!("{:<24}{:>10}{:>10}{:>10}  area of boxes", "class", "pictures", "boxes", "labels")?;
    for id in classes.in_order() {
        let Some(count) = inspection.classes.get(id.0 as usize) else { continue };
        let areas = count.areas.map(|(least, most)| format!("{least:.0} to {most:.0}")).unwrap_or_default();
        let name = shortened(&classes.shown(id));
        print_line!("{name:<24}{:>10}{:>10}{:>10}  {areas}", count.pictures, count.boxes, count.labels)?;
    }
    for problem in Problem::ALL {
        let (count, examples) = inspection.problem_of(problem);
        if count > 0 {
            print_line!("{count} {}", problem.name())?;
        }
        examples.iter().take(EXAMPLES).try_for_each(|example| print_line!("  {example}"))?;
        if count > EXAMPLES as u64 {
            print_line!("  and {} more", count - EXAMPLES as u64)?;
        }
    }
    if inspection.problem_count() == 0 {
        print_line!("no problem")?;
    }
    Ok(())
}

fn as_json(inspection: &Inspection, classes: &Classes) -> Value {
    let classes: Vec<Value> = classes
        .in_order()
        .into_iter()
        .filter_map(|id| Some((id, classes.get(id)?, inspection.classes.get(id.0 as usize)?)))
        .map(|(id, class, count)| {
            json!({"name": class.name, "shown": classes.shown(id), "number": class.number, "pictures": count.pictures,
                "boxes": count.boxes, "labels": count.labels, "areas": count.areas})
        })
        .collect();
    let problems: Vec<Value> = Problem::ALL
        .iter()
        .map(|problem| (problem, inspection.problem_of(*problem)))
        .filter(|(_, (count, _))| *count > 0)
        .map(|(problem, (count, examples))| json!({"what": problem.name(), "count": count, "examples": examples}))
        .collect();
    json!({"pictures": inspection.pictures, "negatives": inspection.negatives, "unannotated": inspection.unannotated,
        "oneClass": inspection.one_class, "classes": classes, "problems": problems})
}
