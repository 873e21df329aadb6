//! The tables of the page.

use maud::{Markup, html};

use crate::evaluation::comparison::Comparison;
use crate::evaluation::{Assessment, Figures};

use super::text::per_cent;
use super::thresholds;

/// The most classes of a matrix. A larger one cannot be read.
const MOST_IN_MATRIX: usize = 30;
/// The most confusions of a list.
const MOST_PAIRS: usize = 30;

/// A table that scrolls within itself where it is wider than the screen. Its region can be reached by keyboard, to be scrolled.
fn wide(name: &str, table: &Markup) -> Markup {
    html! { div class="wide" role="region" aria-label=(name) tabindex="0" { (table) } }
}

/// Figures and counts of each class.
pub(super) fn classes(comparison: &Comparison, assessment: &Assessment) -> Markup {
    let heads: &[&str] = match assessment.figures {
        Figures::Coco(_) => &["AP", "AP50", "AP75", "AR100"],
        Figures::Voc(_) => &["AP", "log-average miss rate"],
    };
    let most = assessment.classes.iter().map(|counts| counts.hits + counts.false_ones).max().unwrap_or(0).max(1);
    wide(
        "Classes",
        &html! {
            table {
                thead { tr {
                    th scope="col" { "class" }
                    @for head in heads { th scope="col" { (head) } }
                    th scope="col" { "objects" }
                    th scope="col" { "pictures" }
                    th scope="col" { "detections" }
                    th scope="col" { "true" }
                    th scope="col" { "false" }
                    th scope="col" { "true and false" }
                    th scope="col" { "best score" }
                } }
                tbody {
                    @for (index, (name, counts)) in comparison.classes().iter().zip(&assessment.classes).enumerate() {
                        tr {
                            th scope="row" title=(name) { (name) }
                            @for value in values(assessment, index) { td { (per_cent(value)) } }
                            td { (counts.objects) }
                            td { (counts.images) }
                            td { (counts.detections) }
                            td { (counts.hits) }
                            td { (counts.false_ones) }
                            td { span class="bar" aria-hidden="true" {
                                @for part in [counts.hits, counts.false_ones] {
                                    i style=(format!("width:{:.2}%", 100.0 * part as f64 / most as f64)) {}
                                }
                            } }
                            td { @match assessment.class_scores[index].best() {
                                Some(best) => (format!("{:.3}", best.score)),
                                None => "–",
                            } }
                        }
                    }
                }
            }
        },
    )
}

fn values(assessment: &Assessment, class: usize) -> Vec<Option<f64>> {
    match &assessment.figures {
        Figures::Coco(coco) => {
            let figures = coco.classes[class];
            vec![figures.ap, figures.ap50, figures.ap75, figures.ar[2]]
        }
        Figures::Voc(voc) => {
            let curve = voc.classes[class].curve.as_ref();
            vec![curve.map(|curve| curve.ap), curve.map(|curve| curve.log_average_miss_rate)]
        }
    }
}

/// Precision, recall and F1 at score thresholds.
pub(super) fn scores(assessment: &Assessment) -> Markup {
    wide(
        "Precision and recall by score",
        &html! {
            table {
                thead { tr {
                    @for head in ["score from", "precision", "recall", "F1", "true", "false", "missed"] {
                        th scope="col" { (head) }
                    }
                } }
                tbody {
                    @for point in thresholds().map(|score| assessment.scores.at(score)) {
                        tr {
                            th scope="row" { (format!("{:.2}", point.score)) }
                            td { (per_cent(point.precision())) }
                            td { (per_cent(point.recall())) }
                            td { (per_cent(point.f1())) }
                            td { (point.hits) }
                            td { (point.false_ones) }
                            td { (point.objects - point.hits) }
                        }
                    }
                }
            }
        },
    )
}

/// Which class is taken for which: a matrix, or with many classes the most frequent confusions.
pub(super) fn confusion(comparison: &Comparison, assessment: &Assessment) -> Markup {
    let names: Vec<&str> = comparison.classes().iter().map(String::as_str).chain(std::iter::once("nothing")).collect();
    let Some(rows) = assessment.confusion.rows().filter(|_| names.len() <= MOST_IN_MATRIX + 1) else {
        return pairs(&names, assessment);
    };
    wide(
        "Confusions",
        &html! {
            table class="matrix" {
                thead { tr {
                    th scope="col" { "object ↓ detected as →" }
                    @for name in &names { th scope="col" { (name) } }
                } }
                tbody {
                    @for (truth, row) in rows.iter().enumerate() {
                        tr {
                            th scope="row" title=(names[truth]) { (names[truth]) }
                            @for (detected, count) in row.iter().enumerate() {
                                @if truth + 1 == names.len() && detected == truth {
                                    td { "" }
                                } @else {
                                    td class=[(truth != detected).then_some("wrong")] style=(heat(*count, row)) { (count) }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// The share of colour of a cell: that of its row, at most a half, so that its number can be read.
fn heat(count: u32, row: &[u32]) -> String {
    let whole: u32 = row.iter().sum();
    format!("--heat:{:.0}%", 50.0 * f64::from(count) / f64::from(whole.max(1)))
}

fn pairs(names: &[&str], assessment: &Assessment) -> Markup {
    let pairs = assessment.confusion.pairs();
    if pairs.is_empty() {
        return html! { p { "No class is taken for another." } };
    }
    wide(
        "Confusions",
        &html! {
            table class="matrix" {
                thead { tr { @for head in ["object", "detected as", "times"] { th scope="col" { (head) } } } }
                tbody {
                    @for pair in pairs.iter().take(MOST_PAIRS) {
                        tr { th scope="row" { (names[pair.truth]) } td { (names[pair.detected]) } td { (pair.count) } }
                    }
                }
            }
        },
    )
}
