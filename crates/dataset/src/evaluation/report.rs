//! Assessments for people and for programs: tables of text, JSON, and a page with plots and pictures.

mod gallery;
mod json;
mod page;
mod plots;
mod tables;
mod text;

pub use gallery::Gallery;
pub use json::json;
pub use page::page;
pub use text::text;

use super::assessment::{Assessment, Figures};
use super::coco;

/// The score thresholds of tables: 0.05, 0.10 to 0.95.
pub(crate) fn thresholds() -> impl Iterator<Item = f64> {
    (1..20).map(|step| f64::from(step) / 20.0)
}

/// The names and values of the figures of all classes together.
fn figures(assessment: &Assessment) -> Vec<(&'static str, Option<f64>)> {
    match &assessment.figures {
        Figures::Coco(coco) => coco::Figures::NAMES.into_iter().zip(coco.figures.values()).collect(),
        Figures::Voc(voc) => vec![("mAP", voc.mean_ap)],
    }
}

/// The names and values of the figures of one class.
fn class_figures(assessment: &Assessment, class: usize) -> Vec<(&'static str, Option<f64>)> {
    match &assessment.figures {
        Figures::Coco(coco) => coco::Figures::NAMES.into_iter().zip(coco.classes[class].values()).collect(),
        Figures::Voc(voc) => {
            let curve = voc.classes[class].curve.as_ref();
            let miss_rate = curve.map(|curve| curve.log_average_miss_rate);
            vec![("AP", curve.map(|curve| curve.ap)), ("logAverageMissRate", miss_rate)]
        }
    }
}

/// What a figure is, in one line.
fn meaning(name: &str) -> &'static str {
    match name {
        "AP" => "average precision, mean over IoU 0.50 to 0.95",
        "AP50" => "average precision at IoU 0.50",
        "AP75" => "average precision at IoU 0.75",
        "APs" => "AP of small objects, up to 32² pixels",
        "APm" => "AP of medium objects, 32² to 96² pixels",
        "APl" => "AP of large objects, from 96² pixels on",
        "AR1" => "average recall with 1 detection of a class in a picture",
        "AR10" => "average recall with 10 detections",
        "AR100" => "average recall with 100 detections",
        "ARs" => "AR100 of small objects",
        "ARm" => "AR100 of medium objects",
        "ARl" => "AR100 of large objects",
        "mAP" => "mean of the classes' average precision at overlap 0.5",
        _ => "",
    }
}
