use std::collections::BTreeMap;
use std::path::Path;

use container::handlers::ssd::ModelFiles;
use dataset::formats::label_map::LabelMap;
use nn::Device;
use picture::RgbImage;
use vision::ssd::{Detection, Detector};

use super::found::{Class, Finder, Found};

/// An SSD, which answers as its endpoint does.
pub(super) struct Ssd {
    files: ModelFiles,
    detector: Detector,
    /// By numbers from 0.
    names: BTreeMap<i64, String>,
}

impl Ssd {
    pub(super) fn open(folder: &Path, device: Device) -> anyhow::Result<Self> {
        let files = ModelFiles::open(folder)?;
        let detector = files.load(device)?;
        let map = files.label_map.as_deref().map(LabelMap::open).transpose()?.unwrap_or_default();
        let name = |item: &dataset::formats::label_map::Item| {
            let name = item.display_name.as_ref().unwrap_or(&item.name);
            // Labels are from 1.
            (item.id - 1, name.clone())
        };
        Ok(Self { names: map.items().map(name).collect(), files, detector })
    }
}

impl Finder for Ssd {
    fn nouns(&self) -> [&'static str; 2] {
        ["object", "objects"]
    }

    fn find(&self, picture: &RgbImage, threshold: f32) -> anyhow::Result<Vec<Found>> {
        let detections = self.detector.detect(&[&self.files.input(picture)])?.into_iter().flatten();
        let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
        let found = |Detection { class: number, score, corners, .. }: Detection| {
            let [left, top, right, bottom] = corners.map(f64::from);
            let known = i64::try_from(number).ok().and_then(|number| self.names.get(&number));
            let name = known.cloned().unwrap_or_else(|| format!("class {number}"));
            Found {
                corners: [left * width, top * height, right * width, bottom * height],
                score,
                class: Some(Class { number, name }),
                landmarks: None,
            }
        };
        Ok(detections.filter(|detection| detection.score >= threshold).map(found).collect())
    }
}
