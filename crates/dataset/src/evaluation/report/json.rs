//! The figures as JSON.

use serde_json::{Map, Value, json};

use crate::evaluation::comparison::Comparison;
use crate::evaluation::mistakes::{Kind, Mistake};
use crate::evaluation::score_curve::ScorePoint;
use crate::evaluation::{Assessment, Figures};

use super::{class_figures, figures, thresholds};

/// How many mistakes of each sort are listed.
const WORST: usize = 50;

/// All figures as one object. `null` stands for nothing to average.
#[must_use]
pub fn json(comparison: &Comparison, assessment: &Assessment) -> Value {
    let counts = &assessment.classes;
    let classes: Vec<Value> = comparison
        .classes()
        .iter()
        .zip(counts)
        .enumerate()
        .map(|(index, (name, counts))| {
            let mut class = json!({
                "name": name,
                "objects": counts.objects,
                "uncounted": counts.uncounted,
                "images": counts.images,
                "detections": counts.detections,
                "hits": counts.hits,
                "false": counts.false_ones,
                "atThreshold": point(&assessment.class_scores[index].at(assessment.threshold.score)),
                "bestThreshold": assessment.class_scores[index].best().as_ref().map(point),
            });
            for (name, value) in class_figures(assessment, index) {
                class[name] = json!(value);
            }
            class
        })
        .collect();
    let mistakes: Map<String, Value> =
        Kind::ALL.iter().map(|kind| (kind.name().to_owned(), json!(assessment.mistakes.count(*kind)))).collect();
    let figures: Map<String, Value> =
        figures(assessment).into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    json!({
        "style": match assessment.figures { Figures::Coco(_) => "coco", Figures::Voc(_) => "voc" },
        "images": comparison.images().len(),
        "objects": counts.iter().map(|counts| counts.objects).sum::<usize>(),
        "detections": comparison.detections().len(),
        "figures": figures,
        "classes": classes,
        "threshold": point(&assessment.threshold),
        "thresholdIsBest": assessment.is_best,
        "thresholds": thresholds().map(|score| point(&assessment.scores.at(score))).collect::<Vec<_>>(),
        "confusion": assessment.confusion.rows(),
        "mistakes": mistakes,
        "worst": assessment
            .mistakes
            .worst(WORST)
            .iter()
            .map(|mistake| worst(comparison, mistake))
            .collect::<Vec<_>>(),
    })
}

fn point(point: &ScorePoint) -> Value {
    json!({
        "score": point.score,
        "hits": point.hits,
        "false": point.false_ones,
        "missed": point.objects - point.hits,
        "precision": point.precision(),
        "recall": point.recall(),
        "f1": point.f1(),
    })
}

fn worst(comparison: &Comparison, mistake: &Mistake) -> Value {
    let class = |class: usize| &comparison.classes()[class];
    let detection = mistake.detection.map(|index| {
        let detection = &comparison.detections()[index];
        let bounds = detection.bounds;
        let edges = [bounds.left, bounds.top, bounds.width, bounds.height];
        json!({"class": class(detection.class), "score": detection.score, "bbox": edges})
    });
    let object = mistake.truth.map(|index| {
        let truth = &comparison.truths()[index];
        let bounds = truth.bounds;
        json!({"class": class(truth.class), "bbox": [bounds.left, bounds.top, bounds.width, bounds.height]})
    });
    json!({
        "kind": mistake.kind.name(),
        "image": comparison.images()[mistake.image].name,
        "detection": detection,
        "object": object,
        "iou": mistake.iou,
    })
}
