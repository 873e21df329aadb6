//! `detect`: the faces of photos, by a network.

use std::fmt::Write;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use container::model_folder;
use image::ImageFormat;
use image::codecs::jpeg::JpegEncoder;
use nn::DeviceChoice;
use nn::checkpoint::Checkpoint;
use picture::{RgbImage, drawing};
use serde_json::{Value, json};
use vision::boxes::Thresholds;
use vision::{ColorOrder, Face, FaceDetector};

use crate::choice::Choice;
use crate::escape::Shown;
use crate::pictures::{photograph, source};

/// The quality of a drawn picture.
const JPEG_QUALITY: u8 = 92;
/// The colours of boxes and of points.
const BOX: [u8; 3] = [255, 59, 48];
const POINT: [u8; 3] = [52, 199, 89];
/// Lines are a pixel thick for this many pixels of the picture's shorter side.
const SIDE_OF_A_PIXEL: u32 = 300;
/// Points are a pixel wide for this many pixels of the face's shorter side.
const PIXELS_OF_A_POINT: f64 = 20.0;

#[derive(Debug, Args)]
pub(crate) struct Detect {
    /// JPEG, PNG or WebP pictures
    #[arg(required = true)]
    photos: Vec<PathBuf>,
    /// Folder with the checkpoint of RetinaFace or DSFD: one file that ends in .pth, .pt or .safetensors
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Draw the boxes and points: OUT.png, OUT.jpg or OUT.webp for one photo, a folder for several
    #[arg(long, value_name = "OUT")]
    draw: Option<PathBuf>,
    /// The least score of a face, 0 to 1
    #[arg(long, value_name = "T", default_value_t = 0.5, value_parser = share)]
    threshold: f32,
    /// What the network computes on
    #[arg(long, value_name = "auto|cpu|cuda", default_value = "auto", hide_possible_values = true,
        value_parser = Choice::<DeviceChoice>::of(&["auto", "cpu", "cuda"]))]
    device: DeviceChoice,
    /// Print one line of JSON for each photo
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a number from 0 to 1 works".to_owned()),
    }
}

pub(crate) fn run(detect: &Detect) -> anyhow::Result<()> {
    let outs = detect.outs()?;
    let checkpoint = Checkpoint::open(&model_folder::checkpoint(&detect.model)?)?;
    let identity = vision::identify(&checkpoint, None)?;
    let detector = FaceDetector::load(&identity, detect.device.find()?)?;
    let mut failed = 0;
    for (index, photo) in detect.photos.iter().enumerate() {
        let (mut picture, faces) = match detect.search(&detector, photo) {
            Ok(found) => found,
            // Alone, it is the command's error.
            Err(error) if detect.photos.len() == 1 => return Err(error),
            Err(error) => {
                note!("error: {error:#}");
                failed += 1;
                continue;
            }
        };
        if detect.json {
            let faces: Vec<Value> = faces.iter().map(as_json).collect();
            print_line!("{}", json!({"photo": photo.display().to_string(), "faces": faces}))?;
        } else {
            print_line!("{}", as_text(photo, &faces))?;
        }
        if let Some(out) = outs.get(index) {
            faces.iter().for_each(|face| draw(&mut picture, face));
            std::fs::write(out, encoded(&picture, out)?)
                .with_context(|| format!("the drawn picture cannot be written to {}", out.shown()))?;
        }
    }
    match failed {
        0 => Ok(()),
        1 => bail!("1 photo of {} could not be searched", detect.photos.len()),
        count => bail!("{count} photos of {} could not be searched", detect.photos.len()),
    }
}

impl Detect {
    /// A photo and its faces.
    fn search(&self, detector: &FaceDetector, photo: &Path) -> anyhow::Result<(RgbImage, Vec<Face>)> {
        let thresholds = Thresholds { confidence: self.threshold, ..Thresholds::default() };
        let picture = photograph::decoded(&source::read(photo, source::MAX_BYTES)?, photo)?;
        let faces = detector.detect(&picture, ColorOrder::Rgb, thresholds);
        let faces = faces.with_context(|| format!("the photo {} cannot be searched", photo.shown()))?;
        Ok((picture, faces))
    }

    /// The file of each drawn picture; none without `--draw`. A folder is made.
    fn outs(&self) -> anyhow::Result<Vec<PathBuf>> {
        let Some(out) = &self.draw else { return Ok(Vec::new()) };
        if picture_format(out).is_some() && !out.is_dir() {
            let [_] = &self.photos[..] else {
                bail!("--draw {} is one file for {} photos: a folder would work", out.shown(), self.photos.len());
            };
            return Ok(vec![out.clone()]);
        }
        if ImageFormat::from_path(out).is_ok() && !out.is_dir() {
            bail!("--draw {} cannot be written: .png, .jpg, .webp or a folder would work", out.shown());
        }
        std::fs::create_dir_all(out).with_context(|| format!("the folder {} cannot be made", out.shown()))?;
        let mut outs: Vec<PathBuf> = Vec::with_capacity(self.photos.len());
        for photo in &self.photos {
            let name = photo.file_stem().with_context(|| format!("the photo {} has no name", photo.shown()))?;
            let named = |number: usize| {
                let mut name = name.to_owned();
                if number > 1 {
                    name.push(format!("-{number}"));
                }
                name.push(".jpg");
                out.join(name)
            };
            // Photos of several folders may have one name.
            let free = (1..).map(named).find(|file| !outs.contains(file));
            outs.push(free.context("names do not end")?);
        }
        Ok(outs)
    }
}

/// The format that a file's name asks for; `None` if it cannot be written.
fn picture_format(file: &Path) -> Option<ImageFormat> {
    let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    ImageFormat::from_path(file).ok().filter(|format| formats.contains(format))
}

/// The picture in the format that the file's name asks for.
fn encoded(picture: &RgbImage, file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    match picture_format(file) {
        Some(ImageFormat::Jpeg) => JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(picture)?,
        Some(format) => picture.write_to(&mut bytes, format)?,
        None => bail!("{} is no .png, .jpg or .webp", file.shown()),
    }
    Ok(bytes.into_inner())
}

fn draw(picture: &mut RgbImage, face: &Face) {
    let thickness = picture.width().min(picture.height()).div_ceil(SIDE_OF_A_PIXEL);
    drawing::outline(picture, face.corners, thickness, BOX);
    for place in face.landmarks.iter().flatten() {
        drawing::point(picture, *place, point_side(face.corners, thickness), POINT);
    }
}

/// The side of a point, in pixels. It grows with the face, so that points are seen on a large one and do not cover a small one.
fn point_side([left, top, right, bottom]: [f64; 4], thickness: u32) -> u32 {
    let side = (right - left).min(bottom - top) / PIXELS_OF_A_POINT;
    (side.round() as u32).clamp(thickness + 1, 4 * thickness)
}

fn as_json(face: &Face) -> Value {
    let mut value = json!({"box": face.corners, "score": face.score});
    if let Some(landmarks) = face.landmarks {
        value["landmarks"] = json!(landmarks);
    }
    value
}

fn as_text(photo: &Path, faces: &[Face]) -> String {
    let count = match faces.len() {
        0 => "no face".to_owned(),
        1 => "1 face".to_owned(),
        more => format!("{more} faces"),
    };
    let mut text = format!("{}: {count}", photo.shown());
    for Face { corners: [left, top, right, bottom], score, .. } in faces {
        let (across, down) = (right - left, bottom - top);
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {across:.0} x {down:.0} pixels at ({left:.0}, {top:.0}), score {score:.3}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_grow_with_the_face() {
        let side = |pixels: f64, thickness| point_side([10.0, 10.0, 10.0 + pixels, 30.0 + pixels], thickness);
        assert_eq!([side(13.0, 2), side(80.0, 2), side(120.0, 2), side(414.0, 2)], [3, 4, 6, 8]);
        assert_eq!([side(13.0, 1), side(414.0, 1), side(-3.0, 1)], [2, 4, 2]);
    }
}
