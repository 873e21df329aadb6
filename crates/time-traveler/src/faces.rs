//! `faces`: what the detector finds in a photo, and the largest of them cut out.

use std::cmp::Reverse;
use std::fmt::Write;
use std::io::Cursor;
use std::path::Path;

use aging::face_finder;
use anyhow::{Context, anyhow, bail};
use face::{Detection, Landmarks, RgbImage, Sampling};
use image::ImageFormat;
use image::codecs::jpeg::JpegEncoder;
use serde_json::{Value, json};

use crate::cli::{self, Faces, MAX_UPSAMPLE};

/// As good as the panels.
const JPEG_QUALITY: u8 = 92;

pub(crate) fn run(faces: &Faces) -> anyhow::Result<()> {
    let finder = face_finder(faces.detector.as_deref(), faces.landmarks.as_deref())?;
    let photo = &faces.photo;
    let bytes = std::fs::read(photo).with_context(|| format!("the photo {} cannot be read", photo.display()))?;
    let picture = picture::decode(&bytes).with_context(|| format!("the photo {}", photo.display()))?;
    let (width, height) = picture.dimensions();
    let enlarged = |upsample: u32| (u64::from(width) * u64::from(height)) << (2 * upsample);
    let upsample = faces.upsample.unwrap_or_else(|| u32::from(enlarged(1) <= picture::MAX_PIXELS));
    if enlarged(upsample) > picture::MAX_PIXELS {
        bail!(
            "--upsample {upsample} makes {} pixels of the {width} x {height} in {}: at most {} million work",
            enlarged(upsample),
            photo.display(),
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
            bail!(
                "NO_FACE: no face was found in {}, so there is nothing to align: {hint} may find one",
                photo.display()
            );
        };
        let aligned = face::align(&picture, landmarks, faces.size, Sampling::Sam)
            .map_err(|error| anyhow!("{}: {}: {error}", error.code(), photo.display()))?;
        std::fs::write(out, encoded(&aligned.picture, out)?)
            .with_context(|| format!("the crop cannot be written to {}", out.display()))?;
    }
    if faces.json {
        println!("{}", json!({"faces": found.iter().map(as_json).collect::<Vec<_>>()}));
    } else {
        print!("{}", as_text(&found, width, height));
    }
    Ok(())
}

/// The file's bytes, in the format that its name says.
fn encoded(picture: &RgbImage, file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    match cli::picture_format(file) {
        Some(ImageFormat::Jpeg) => JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(picture)?,
        Some(format) => picture.write_to(&mut bytes, format)?,
        None => bail!("{} is no .png, .jpg or .webp", file.display()),
    }
    Ok(bytes.into_inner())
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
    let mut text = format!("{} found in {width} x {height} pixels\n", plural(found.len()));
    for (Detection { rectangle, score, filter }, _) in found {
        let (left, top) = (rectangle.left, rectangle.top);
        let (across, down) = (rectangle.width(), rectangle.height());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {across} x {down} pixels at ({left}, {top}), score {score:.3}, filter {filter}");
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
