//! `faces`: the faces of a photo, and a crop of the largest one.

use std::cmp::Reverse;
use std::fmt::Write;
use std::path::PathBuf;
use std::slice;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use face::{Detection, Landmarks, Sampling};
use serde_json::{Value, json};

use crate::escape::Shown;
use crate::models::FaceModels;
use crate::pictures::{photograph, source, target};

/// How often a picture may be doubled for the search.
const MAX_UPSAMPLE: u32 = 4;

#[derive(Debug, Args)]
pub(crate) struct Faces {
    /// A JPEG, PNG or WebP picture
    photo: PathBuf,
    #[command(flatten)]
    models: FaceModels,
    /// How often to double the picture's size before the search, which finds smaller faces [default: 1; 0 above 16 megapixels]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_UPSAMPLE)))]
    upsample: Option<u32>,
    /// The lowest score of a face; below 0 finds more faces, and more false ones
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true, value_parser = finite)]
    threshold: f64,
    /// Write the largest face, cut out and upright as SAM's encoder takes it: .png, .jpg or .webp
    #[arg(long, value_name = "OUT.png", value_parser = picture_file)]
    align: Option<PathBuf>,
    /// Width and height of that picture in pixels
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=4096))]
    size: u32,
    /// Print the faces as one line of JSON, in the detector's order
    #[arg(long)]
    json: bool,
}

fn picture_file(text: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(text);
    match target::format(&file) {
        Some(_) => Ok(file),
        None => Err("a name that ends in .png, .jpg or .webp works".to_owned()),
    }
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if f64::is_finite(number) => Ok(number),
        _ => Err("a number such as 0.5 or -0.2 works".to_owned()),
    }
}

pub(crate) fn run(faces: &Faces) -> anyhow::Result<()> {
    let photo = &faces.photo;
    if let Some(out) = &faces.align {
        target::check_photos_stay(slice::from_ref(photo), slice::from_ref(out), "--align")?;
    }
    let finder = faces.models.finder()?;
    let bytes = source::read(photo, source::MAX_BYTES)?;
    let picture = photograph::decoded(&bytes, photo)?;
    let (width, height) = picture.dimensions();
    let enlarged = |upsample: u32| (u64::from(width) * u64::from(height)) << (2 * upsample);
    let upsample = faces.upsample.unwrap_or_else(|| u32::from(enlarged(1) <= picture::MAX_PIXELS));
    if enlarged(upsample) > picture::MAX_PIXELS {
        bail!(
            "--upsample {upsample} makes {} pixels of the {width} x {height} in {}: at most {} million work",
            enlarged(upsample),
            photo.shown(),
            picture::MAX_PIXELS / 1_000_000
        );
    }
    let found = finder.detector.detect(&picture, upsample, faces.threshold);
    let found: Vec<(Detection, Landmarks)> = found
        .into_iter()
        .map(|detection| (detection, finder.predictor.predict(&picture, &detection.rectangle)))
        .collect();
    if let Some(out) = &faces.align {
        let largest = found.iter().min_by_key(|(detection, _)| Reverse(detection.rectangle.width()));
        let Some((_, landmarks)) = largest else {
            let mut hint = format!("a --threshold below {}", faces.threshold);
            if upsample < MAX_UPSAMPLE && enlarged(upsample + 1) <= picture::MAX_PIXELS {
                hint = format!("--upsample {} or {hint}", upsample + 1);
            }
            bail!("NO_FACE: no face was found in {}, so there is nothing to align: {hint} may find one", photo.shown());
        };
        let aligned = face::align(&picture, landmarks, faces.size, Sampling::Sam)
            .map_err(|error| anyhow!("{}: {}: {error}", error.code(), photo.shown()))?;
        std::fs::write(out, target::encoded(&aligned.picture, out)?)
            .with_context(|| format!("the crop cannot be written to {}", out.shown()))?;
    }
    if faces.json {
        print_line!("{}", json!({"faces": found.iter().map(as_json).collect::<Vec<_>>()}))?;
    } else {
        print_line!("{}", as_text(&found, width, height))?;
    }
    Ok(())
}

fn as_json((detection, landmarks): &(Detection, Landmarks)) -> Value {
    let rectangle = detection.rectangle;
    let points: Vec<[i64; 2]> = landmarks.0.iter().map(|point| [point.x as i64, point.y as i64]).collect();
    json!({
        "left": rectangle.left,
        "top": rectangle.top,
        "right": rectangle.right,
        "bottom": rectangle.bottom,
        "score": detection.score,
        "filter": detection.filter,
        "landmarks": points,
    })
}

fn as_text(found: &[(Detection, Landmarks)], width: u32, height: u32) -> String {
    let mut text = format!("{} found in {width} x {height} pixels", plural(found.len()));
    for (Detection { rectangle, score, filter }, _) in found {
        let (left, top) = (rectangle.left, rectangle.top);
        let (across, down) = (rectangle.width(), rectangle.height());
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {across} x {down} pixels at ({left}, {top}), score {score:.3}, filter {filter}");
    }
    text
}

fn plural(faces: usize) -> String {
    match faces {
        0 => "no face".to_owned(),
        1 => "1 face".to_owned(),
        more => format!("{more} faces"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        faces: Faces,
    }

    #[test]
    fn a_photo_is_not_replaced_by_its_crop() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("photo.png");
        std::fs::write(&photo, "photo").unwrap();
        let path = photo.to_str().unwrap();
        let command = Command::try_parse_from(["faces", path, "--align", path]).unwrap();
        let error = run(&command.faces).unwrap_err().to_string();
        assert!(error.starts_with("--align would replace the photo ") && error.contains("photo.png"), "{error}");
    }
}
