use std::path::Path;

use anyhow::Context;
use container::handlers::faster_rcnn::{LABELS, model_files};
use nn::Device;
use picture::RgbImage;
use vision::faster_rcnn::FasterRcnn;

use super::found::{Class, Finder, Found};

/// A Faster R-CNN, which answers as its endpoint does.
pub(super) struct Objects {
    network: FasterRcnn,
    /// In the order of their numbers.
    names: Vec<String>,
}

impl Objects {
    pub(super) fn open(folder: &Path, device: Device, threshold: f32) -> anyhow::Result<Self> {
        let mut identity = model_files(folder)?;
        identity.config.detecting.score = threshold;
        let file = folder.join(LABELS);
        let names = match file.is_file() {
            true => std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?,
            false => String::new(),
        };
        let names = names.lines().map(str::to_owned).collect();
        Ok(Self { network: FasterRcnn::load(&identity, device)?, names })
    }
}

impl Finder for Objects {
    fn nouns(&self) -> [&'static str; 2] {
        ["object", "objects"]
    }

    fn find(&self, picture: &RgbImage, threshold: f32) -> anyhow::Result<Vec<Found>> {
        let found = |detection: vision::faster_rcnn::Detection| {
            let number = detection.class;
            let name = self.names.get(number).cloned().unwrap_or_else(|| format!("class {number}"));
            Found {
                corners: detection.corners.map(f64::from),
                score: detection.score,
                class: Some(Class { number, name }),
                landmarks: None,
            }
        };
        let detections = self.network.detect(picture)?.into_iter();
        Ok(detections.filter(|detection| detection.score >= threshold).map(found).collect())
    }
}
