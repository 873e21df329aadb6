//! `classify`: the classes of photos, by a network.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use container::handlers::classifier::ModelFiles;
use nn::DeviceChoice;
use serde_json::{Value, json};
use vision::classifier::{Classifier, most_probable};

use crate::choice::Choice;
use crate::escape::Shown;
use crate::pictures::{photograph, source};

#[derive(Debug, Args)]
pub(crate) struct Classify {
    /// JPEG, PNG or WebP pictures
    #[arg(required = true)]
    photos: Vec<PathBuf>,
    /// Folder with a classifier: model.safetensors, or fastai's .pth, and classes.json, or fastai's export.pkl
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// How many classes to show, the most probable first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// What the network computes on
    #[arg(long, value_name = "auto|cpu|cuda", default_value = "auto", hide_possible_values = true,
        value_parser = Choice::<DeviceChoice>::of(&["auto", "cpu", "cuda"]))]
    device: DeviceChoice,
    /// Print one line of JSON for each photo
    #[arg(long)]
    json: bool,
}

/// A photo that cannot be classified does not stop the others.
pub(crate) fn run(classify: &Classify) -> anyhow::Result<()> {
    let classifier = ModelFiles::open(&classify.model)?.load(classify.device.find()?)?;
    let mut failed = 0;
    for photo in &classify.photos {
        match classes(&classifier, photo, classify.top as usize) {
            Ok(ranked) if classify.json => print_line!("{}", as_json(photo, &ranked))?,
            Ok(ranked) => print_line!("{}", as_text(photo, &ranked))?,
            Err(error) => {
                failed += 1;
                note!("error: {error:#}");
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} photos could not be classified", classify.photos.len());
    }
    Ok(())
}

/// The most probable classes of a photo, with their probabilities.
fn classes<'a>(classifier: &'a Classifier, photo: &Path, top: usize) -> anyhow::Result<Vec<(&'a str, f32)>> {
    let picture = photograph::decoded(&source::read(photo, source::MAX_BYTES)?, photo)?;
    let description = classifier.description();
    let probabilities = classifier.classify(&[&description.input(&picture)]);
    let probabilities = probabilities.with_context(|| format!("the photo {} cannot be classified", photo.shown()))?;
    let ranked = most_probable(&probabilities[0], top).into_iter();
    Ok(ranked.map(|(class, probability)| (description.classes[class].as_str(), probability)).collect())
}

fn as_json(photo: &Path, ranked: &[(&str, f32)]) -> Value {
    let members = |(class, confidence): &(&str, f32)| json!({"class": class, "confidence": confidence});
    let mut value = members(&ranked[0]);
    value["photo"] = photo.display().to_string().into();
    if ranked.len() > 1 {
        value["top"] = ranked.iter().map(members).collect();
    }
    value
}

fn as_text(photo: &Path, ranked: &[(&str, f32)]) -> String {
    let percent = |probability: f32| format!("{:.1} %", f64::from(probability) * 100.0);
    if let [(class, probability)] = ranked {
        return format!("{}: {class}, {}", photo.shown(), percent(*probability));
    }
    let longest = ranked.iter().map(|(class, _)| class.chars().count()).max().unwrap_or(0);
    let mut text = format!("{}:", photo.shown());
    for (class, probability) in ranked {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {class:longest$}  {:>7}", percent(*probability));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_class_is_a_sentence_and_several_are_a_table() {
        let photo = Path::new("a\nb.jpg");
        assert_eq!(as_text(photo, &[("pug", 0.9876)]), "a\\nb.jpg: pug, 98.8 %");
        let ranked = [("great_pyrenees", 1.0), ("café", 0.0)];
        assert_eq!(as_text(photo, &ranked), "a\\nb.jpg:\n  great_pyrenees  100.0 %\n  café              0.0 %");
        let value = as_json(photo, &ranked);
        assert_eq!(
            (value["class"].as_str(), value["top"][1]["class"].as_str()),
            (Some("great_pyrenees"), Some("café"))
        );
        assert_eq!(as_json(photo, &ranked[..1])["top"], Value::Null);
    }
}
