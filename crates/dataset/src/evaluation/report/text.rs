//! The figures as text for a terminal.

use std::fmt::Write;

use crate::evaluation::comparison::Comparison;
use crate::evaluation::mistakes::Kind;
use crate::evaluation::{Assessment, Figures};

use super::{figures, meaning, thresholds};

/// The most classes and confusions of a table.
const MOST_PAIRS: usize = 10;
/// The most letters of a class's name.
const MOST_LETTERS: usize = 28;

/// A figure as per cent, or a dash for none.
pub(super) fn per_cent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{:.2}", 100.0 * value))
}

fn short(name: &str) -> String {
    if name.chars().count() <= MOST_LETTERS {
        return name.to_owned();
    }
    name.chars().take(MOST_LETTERS - 1).chain(['…']).collect()
}

/// Tables of the figures, in per cent, of the classes, of score thresholds and of mistakes. No line ends the text.
#[must_use]
pub fn text(comparison: &Comparison, assessment: &Assessment) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    for (name, value) in figures(assessment) {
        let _ = writeln!(text, "{name:<6} {:>6} %  {}", per_cent(value), meaning(name));
    }
    classes(&mut text, comparison, assessment);
    let _ = writeln!(text, "\n{:<6} {:>9} {:>7} {:>7}  at IoU 0.5", "score", "precision", "recall", "F1");
    for point in thresholds().step_by(2).map(|score| assessment.scores.at(score)) {
        let _ = writeln!(
            text,
            "{:<6.2} {:>9} {:>7} {:>7}",
            point.score,
            per_cent(point.precision()),
            per_cent(point.recall()),
            per_cent(point.f1())
        );
    }
    let threshold = assessment.threshold;
    let reason = if assessment.is_best { ", the score with the best F1" } else { "" };
    let _ = writeln!(
        text,
        "\nat score {:.3}{reason}: precision {} %, recall {} %, F1 {} %",
        threshold.score,
        per_cent(threshold.precision()),
        per_cent(threshold.recall()),
        per_cent(threshold.f1())
    );
    let kinds = Kind::ALL.map(|kind| format!("{} {}", assessment.mistakes.count(kind), kind.name()));
    let _ = write!(text, "mistakes there: {}", kinds.join(", "));
    for pair in assessment.confusion.pairs().iter().take(MOST_PAIRS) {
        let name = |class: usize| &comparison.classes()[class];
        let _ = write!(text, "\n  {} {} taken for {}", pair.count, name(pair.truth), name(pair.detected));
    }
    text
}

fn classes(text: &mut String, comparison: &Comparison, assessment: &Assessment) {
    let names: Vec<String> = comparison.classes().iter().map(|name| short(name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
    let heads = match assessment.figures {
        Figures::Coco(_) => ["AP", "AP50", "AP75"],
        Figures::Voc(_) => ["AP", "LAMR", ""],
    };
    let _ = write!(text, "\n{:<width$}", "class");
    for head in heads.iter().filter(|head| !head.is_empty()) {
        let _ = write!(text, " {head:>7}");
    }
    let _ = writeln!(text, " {:>8} {:>10} {:>7} {:>7}", "objects", "detections", "hits", "false");
    for (index, (name, counts)) in names.iter().zip(&assessment.classes).enumerate() {
        let _ = write!(text, "{name:<width$}");
        let values = match &assessment.figures {
            Figures::Coco(coco) => {
                let figures = coco.classes[index];
                vec![figures.ap, figures.ap50, figures.ap75]
            }
            Figures::Voc(voc) => {
                let curve = voc.classes[index].curve.as_ref();
                vec![curve.map(|curve| curve.ap), curve.map(|curve| curve.log_average_miss_rate)]
            }
        };
        for value in values {
            let _ = write!(text, " {:>7}", per_cent(value));
        }
        let _ = writeln!(
            text,
            " {:>8} {:>10} {:>7} {:>7}",
            counts.objects, counts.detections, counts.hits, counts.false_ones
        );
    }
}
