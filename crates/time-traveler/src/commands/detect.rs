//! `detect`: the faces or the objects of photos, by a network.

mod faces;
mod faster_rcnn;
mod found;
mod ssd;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use container::ModelKind;
use dataset::draw::Tags;
use image::ImageFormat;
use nn::DeviceChoice;
use picture::RgbImage;
use serde_json::{Value, json};

use self::faces::Faces;
use self::faster_rcnn::Objects;
use self::found::{Finder, Found};
use self::ssd::Ssd;
use crate::choice::Choice;
use crate::escape::{Shown, line};
use crate::pictures::{photograph, source, target};

#[derive(Debug, Args)]
pub(crate) struct Detect {
    /// JPEG, PNG or WebP pictures
    #[arg(required = true)]
    photos: Vec<PathBuf>,
    /// Folder of the model: RetinaFace, DSFD or Faster R-CNN, or graph/ of an SSD
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Draw the boxes: OUT.png, OUT.jpg or OUT.webp for one photo, a folder for several
    #[arg(long, value_name = "OUT")]
    draw: Option<PathBuf>,
    /// The least score of a face or an object, 0 to 1
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
    let device = detect.device.find()?;
    let finder: Box<dyn Finder> = match ModelKind::of_folder(&detect.model)? {
        ModelKind::Ssd => Box::new(Ssd::open(&detect.model, device)?),
        ModelKind::FasterRcnn => Box::new(Objects::open(&detect.model, device, detect.threshold)?),
        _ => Box::new(Faces::open(&detect.model, device)?),
    };
    let finder = &*finder;
    let mut failed = 0;
    for (index, photo) in detect.photos.iter().enumerate() {
        let (mut picture, found) = match detect.search(finder, photo) {
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
            let found: Vec<Value> = found.iter().map(Found::as_json).collect();
            let [_, many] = finder.nouns();
            print_line!("{}", json!({"photo": photo.display().to_string(), many: found}))?;
        } else {
            print_line!("{}", as_text(photo, &found, finder.nouns()))?;
        }
        if let Some(out) = outs.get(index) {
            found.iter().for_each(|found| found.draw(&mut picture));
            // Names come last, so that no line crosses them.
            let mut tags = Tags::default();
            found.iter().for_each(|found| found.draw_name(&mut picture, &mut tags));
            std::fs::write(out, target::encoded(&picture, out)?)
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
    /// A photo, and what was found in it.
    fn search(&self, finder: &dyn Finder, photo: &Path) -> anyhow::Result<(RgbImage, Vec<Found>)> {
        let picture = photograph::decoded(&source::read(photo, source::MAX_BYTES)?, photo)?;
        let found = finder.find(&picture, self.threshold);
        let found = found.with_context(|| format!("the photo {} cannot be searched", photo.shown()))?;
        Ok((picture, found))
    }

    /// The file of each drawn picture, none of which is a photo; no files without `--draw`. A folder is made.
    fn outs(&self) -> anyhow::Result<Vec<PathBuf>> {
        let Some(out) = &self.draw else { return Ok(Vec::new()) };
        if target::format(out).is_some() && !out.is_dir() {
            let [_] = &self.photos[..] else {
                bail!("--draw {} is one file for {} photos: a folder would work", out.shown(), self.photos.len());
            };
            let outs = vec![out.clone()];
            target::check_photos_stay(&self.photos, &outs, "--draw")?;
            return Ok(outs);
        }
        if ImageFormat::from_path(out).is_ok() && !out.is_dir() {
            bail!("--draw {} cannot be written: .png, .jpg, .webp or a folder would work", out.shown());
        }
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
        target::check_photos_stay(&self.photos, &outs, "--draw")?;
        std::fs::create_dir_all(out).with_context(|| format!("the folder {} cannot be made", out.shown()))?;
        Ok(outs)
    }
}

fn as_text(photo: &Path, found: &[Found], [one, many]: [&str; 2]) -> String {
    let count = match found.len() {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        more => format!("{more} {many}"),
    };
    let mut text = format!("{}: {count}", photo.shown());
    for Found { corners: [left, top, right, bottom], score, class, .. } in found {
        let (across, down) = (right - left, bottom - top);
        // A file of the model has the name.
        let name = class.as_ref().map(|class| format!("{}: ", line(&class.name))).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {name}{across:.0} x {down:.0} pixels at ({left:.0}, {top:.0}), score {score:.3}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_not_replaced_by_what_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let photos = ["one.jpg", "two.jpg"].map(|name| folder.path().join(name));
        for photo in &photos {
            std::fs::write(photo, "photo").unwrap();
        }
        let detect = |photos: &[PathBuf], draw: PathBuf| Detect {
            photos: photos.to_vec(),
            model: folder.path().join("gone"),
            draw: Some(draw),
            threshold: 0.5,
            device: DeviceChoice::Cpu,
            json: false,
        };
        for refused in [detect(&photos, folder.path().to_owned()), detect(&photos[..1], photos[0].clone())] {
            // Before the model, which is not there.
            let error = run(&refused).unwrap_err().to_string();
            assert!(error.starts_with("--draw would replace the photo ") && error.contains("one.jpg"), "{error}");
        }
        let outs = detect(&photos, folder.path().join("drawn")).outs().unwrap();
        assert_eq!(outs, ["one.jpg", "two.jpg"].map(|name| folder.path().join("drawn").join(name)));
        assert_eq!(detect(&photos[1..], photos[0].with_extension("png")).outs().unwrap().len(), 1);
    }
}
