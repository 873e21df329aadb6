//! The report as one page of HTML, which needs nothing beside itself: no script, and nothing from a network.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::evaluation::coco::{Coco, RECALLS, recall_thresholds};
use crate::evaluation::comparison::{BoundingBox, Comparison};
use crate::evaluation::mistakes::Kind;
use crate::evaluation::outcome::Outcome;
use crate::evaluation::score_curve::ScorePoint;
use crate::evaluation::voc::Voc;
use crate::evaluation::{Assessment, Figures};

use super::gallery::{Gallery, View};
use super::plots::{self, Axes, Bar, Curve};
use super::text::per_cent;
use super::{figures, meaning, tables};

const STYLE: &str = include_str!("page.css");
/// The most classes with a plot of their own: those with the most objects.
const MOST_CLASS_PLOTS: usize = 24;
/// Bars of a histogram.
const BARS: usize = 20;
/// The most points of a curve. More cannot be seen.
const MOST_POINTS: usize = 400;

/// The page.
#[must_use]
pub fn page(comparison: &Comparison, assessment: &Assessment, gallery: &Gallery) -> String {
    let style = match assessment.figures {
        Figures::Coco(_) => "COCO",
        Figures::Voc(_) => "PASCAL VOC",
    };
    let objects: usize = assessment.classes.iter().map(|counts| counts.objects).sum();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                title { "How good the detections are" }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                h1 { "How good the detections are" }
                p class="soft" {
                    (style) " rules. " (comparison.detections().len()) " detections, " (objects) " objects of "
                    (comparison.classes().len()) " classes in " (comparison.images().len()) " pictures."
                }
                ul class="tiles" { @for (name, value) in figures(assessment) {
                    li class="tile" { b { (per_cent(value)) } strong { (name) } span { (meaning(name)) } }
                } }
                p class="soft" { "Figures are per cent. A dash stands for nothing to average." }
                h2 { "Precision by recall" }
                (precision_by_recall(comparison, assessment))
                h2 { "Where to cut off" }
                (cut_off(comparison, assessment))
                h2 { "Classes" }
                (tables::classes(comparison, assessment))
                h2 { "Confusions" }
                p {
                    "Detections with a score of at least " (format!("{:.3}", assessment.threshold.score))
                    ", at IoU 0.5. Rows are objects; the row of nothing holds detections where there is no object, "
                    "and the column of nothing objects that were missed."
                }
                (tables::confusion(comparison, assessment))
                h2 { "Mistakes" }
                (mistakes(comparison, assessment, gallery))
            } }
        }
    };
    page.into_string()
}

/// A plot with its caption, or the reason why there is none.
fn figure(plot: Result<String, String>, caption: &Markup) -> Markup {
    html! {
        figure {
            @match plot {
                Ok(svg) => (PreEscaped(svg)),
                Err(reason) => p { "The plot cannot be drawn: " (reason) },
            }
            figcaption { (caption) }
        }
    }
}

fn key(kind: &str, name: &str) -> Markup {
    html! { span { span class={"key " (kind)} {} (name) } }
}

fn precision_by_recall(comparison: &Comparison, assessment: &Assessment) -> Markup {
    let axes = Axes { across: "recall", up: "precision" };
    let mut classes: Vec<usize> =
        (0..comparison.classes().len()).filter(|&class| assessment.classes[class].objects > 0).collect();
    classes.sort_by_key(|&class| std::cmp::Reverse(assessment.classes[class].objects));
    let left_out = classes.len().saturating_sub(MOST_CLASS_PLOTS);
    classes.truncate(MOST_CLASS_PLOTS);
    let of_classes = |classes: &[usize]| match &assessment.figures {
        Figures::Coco(coco) => coco_curves(coco, classes),
        Figures::Voc(voc) => classes.first().map_or_else(Vec::new, |&class| voc_curves(voc, class)),
    };
    let legend = match assessment.figures {
        Figures::Coco(_) => html! {
            (key("", "IoU 0.50")) (key("second", "IoU 0.75")) (key("third", "IoU 0.95"))
        },
        Figures::Voc(_) => html! { (key("", "as AP counts it")) (key("second", "as measured")) },
    };
    html! {
        p class="legend" { (legend) }
        @if let Figures::Coco(coco) = &assessment.figures {
            @let all: Vec<usize> = (0..coco.classes.len()).collect();
            div class="plots" {
                (figure(plots::curves("Precision by recall, mean of all classes", &axes, 0.0..1.0, &of_classes(&all)),
                    &html! { "All classes: the mean of their precisions" }))
            }
        }
        details open[classes.len() <= 6 || matches!(assessment.figures, Figures::Voc(_))] {
            summary { "Each class" @if left_out > 0 { ": the " (MOST_CLASS_PLOTS) " with the most objects" } }
            div class="plots" { @for &class in &classes {
                @let name = &comparison.classes()[class];
                (figure(plots::curves(&format!("Precision by recall of {name}"), &axes, 0.0..1.0, &of_classes(&[class])),
                    &html! { (name) ": " (assessment.classes[class].objects) " objects" }))
            } }
        }
    }
}

/// The mean precision of classes at each recall, for three IoU thresholds.
fn coco_curves(coco: &Coco, classes: &[usize]) -> Vec<Curve> {
    let curve = |(series, iou): (usize, usize)| {
        let curves: Vec<&[f64; RECALLS]> = classes.iter().filter_map(|&class| coco.precision(class, iou, 0)).collect();
        let mean = |step: usize| curves.iter().map(|curve| curve[step]).sum::<f64>() / curves.len().max(1) as f64;
        let points = recall_thresholds().into_iter().enumerate().map(|(step, recall)| (recall, mean(step)));
        Curve { points: points.collect(), series }
    };
    [(0, 0), (1, 5), (2, 9)].map(curve).into()
}

/// The precision of a class as measured, and made never to rise.
fn voc_curves(voc: &Voc, class: usize) -> Vec<Curve> {
    let Some(curve) = &voc.classes[class].curve else { return Vec::new() };
    let measured: Vec<(f64, f64)> = curve.recall.iter().copied().zip(curve.precision.iter().copied()).collect();
    let mut best = 0.0_f64;
    let mut falling: Vec<(f64, f64)> = Vec::with_capacity(2 * measured.len());
    for &(recall, precision) in measured.iter().rev() {
        if let Some(&(after, _)) = falling.last().filter(|_| precision > best) {
            falling.push((after, precision));
        }
        best = best.max(precision);
        falling.push((recall, best));
    }
    falling.push((0.0, best));
    falling.reverse();
    vec![Curve { points: thinned(&falling), series: 0 }, Curve { points: thinned(&measured), series: 1 }]
}

fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let step = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.last().filter(|_| !(points.len() - 1).is_multiple_of(step));
    points.iter().step_by(step).chain(last).copied().collect()
}

fn cut_off(comparison: &Comparison, assessment: &Assessment) -> Markup {
    let point = assessment.threshold;
    let scores = comparison.detections().iter().map(|detection| detection.score);
    let (low, high) = scores.fold((0.0_f64, 1.0_f64), |(low, high), score| (low.min(score), high.max(score)));
    html! {
        p {
            "At a score of " strong { (format!("{:.3}", point.score)) }
            @if assessment.is_best { ", where F1 is best," }
            " precision is " strong { (per_cent(point.precision())) " %" } ", recall " strong { (per_cent(point.recall())) " %" }
            " and F1 " (per_cent(point.f1())) " %, at IoU 0.5: " (point.hits) " true, " (point.false_ones) " false, "
            (point.objects - point.hits) " missed."
        }
        div class="plots" {
            (figure(by_score(assessment, low..high), &html! {
                span class="legend" { (key("", "precision")) (key("second", "recall")) (key("third", "F1")) }
            }))
            (figure(score_histogram(comparison, assessment, low..high), &html! {
                span class="legend" { (key("block", "true")) (key("block second", "false")) } "Detections by score"
            }))
            (figure(size_histogram(comparison, assessment), &html! {
                span class="legend" { (key("block", "found")) (key("block second", "missed")) }
                "Objects by the side of a square of their area, in pixels"
            }))
        }
        details { summary { "Precision and recall by score, as a table" } (tables::scores(assessment)) }
    }
}

fn by_score(assessment: &Assessment, scores: std::ops::Range<f64>) -> Result<String, String> {
    let of = |value: fn(&ScorePoint) -> Option<f64>, series: usize| {
        let points = assessment.scores.points().iter().rev();
        let points: Vec<(f64, f64)> = points.filter_map(|point| Some((point.score, value(point)?))).collect();
        Curve { points: thinned(&points), series }
    };
    let curves = [of(ScorePoint::precision, 0), of(ScorePoint::recall, 1), of(ScorePoint::f1, 2)];
    plots::curves("Precision, recall and F1 by score", &Axes { across: "score", up: "share" }, scores, &curves)
}

/// Bars of equal width, and the bar of a value.
fn histogram(range: std::ops::Range<f64>, values: impl Iterator<Item = (f64, bool)>) -> Vec<Bar> {
    let width = (range.end - range.start) / BARS as f64;
    let mut parts = [[0.0; 2]; BARS];
    for (value, is_good) in values {
        let bar = ((value - range.start) / width).clamp(0.0, (BARS - 1) as f64) as usize;
        parts[bar][usize::from(!is_good)] += 1.0;
    }
    let edge = |bar: usize| range.start + bar as f64 * width;
    parts
        .iter()
        .enumerate()
        .map(|(bar, &parts)| Bar { across: edge(bar)..edge(bar + 1) - 0.08 * width, parts })
        .collect()
}

fn score_histogram(
    comparison: &Comparison,
    assessment: &Assessment,
    scores: std::ops::Range<f64>,
) -> Result<String, String> {
    let outcomes = &assessment.figures.outcomes().detections;
    let judged = comparison.detections().iter().zip(outcomes).filter_map(|(detection, outcome)| match outcome {
        Outcome::Hit(_) => Some((detection.score, true)),
        Outcome::False => Some((detection.score, false)),
        Outcome::Ignored | Outcome::Beyond => None,
    });
    let bars = histogram(scores.clone(), judged);
    let axes = Axes { across: "score", up: "detections" };
    plots::bars("True and false detections by score", &axes, scores, &bars, &|score| format!("{score:.1}"))
}

/// Found and missed objects by size. Each bar is a fixed factor larger than the one before.
fn size_histogram(comparison: &Comparison, assessment: &Assessment) -> Result<String, String> {
    let found = assessment.figures.outcomes().found(comparison.truths().len());
    let side = |area: f64| area.max(1.0).sqrt().log2();
    let counted = || comparison.truths().iter().zip(&found).filter(|(truth, _)| truth.counts());
    let sides = || {
        counted().map(|(truth, found)| {
            let is_found =
                found.is_some_and(|index| comparison.detections()[index].score >= assessment.threshold.score);
            (side(truth.area), is_found)
        })
    };
    let (low, high) = sides().fold((f64::INFINITY, 0.0_f64), |(low, high), (side, _)| (low.min(side), high.max(side)));
    let range = if low.is_finite() { low.floor()..high.floor() + 1.0 } else { 0.0..1.0 };
    let bars = histogram(range.clone(), sides());
    let axes = Axes { across: "side", up: "objects" };
    plots::bars("Found and missed objects by size", &axes, range, &bars, &|side| format!("{:.0}", side.exp2()))
}

fn mistakes(comparison: &Comparison, assessment: &Assessment, gallery: &Gallery) -> Markup {
    let (missed, wrong): (Vec<&View>, Vec<&View>) =
        gallery.views.iter().partition(|view| view.mistake.kind == Kind::Missed);
    let not_found = gallery.views.iter().any(|view| view.jpeg.is_none());
    html! {
        ul class="tiles" { @for kind in Kind::ALL {
            li class="tile" { b { (assessment.mistakes.count(kind)) } strong { (kind.name()) } span { (explained(kind)) } }
        } }
        @if not_found {
            p class="soft" {
                "Some pictures were not found, or cannot be read, so that only boxes are drawn. "
                code { "--images DIR" } " names the folder of the pictures."
            }
        }
        @for (title, views) in [("The surest wrong detections", wrong), ("The largest objects that were missed", missed)] {
            h3 { (title) }
            @if views.is_empty() { p { "None." } }
            ul class="views" { @for view in views { li { (figure_of(comparison, view)) } } }
        }
        p class="soft" { "Solid boxes are detections, dashed boxes objects." }
    }
}

fn explained(kind: Kind) -> &'static str {
    match kind {
        Kind::WrongClass => "an object of another class is there",
        Kind::Duplicate => "another detection has the object",
        Kind::Misplaced => "IoU with its object from 0.1 to 0.5",
        Kind::Background => "no object is there",
        Kind::Missed => "no detection means the object",
    }
}

fn figure_of(comparison: &Comparison, view: &View) -> Markup {
    let mistake = &view.mistake;
    let detection = mistake.detection.map(|index| &comparison.detections()[index]);
    let truth = mistake.truth.map(|index| &comparison.truths()[index]);
    let class = |class: usize| comparison.classes()[class].as_str();
    let said = match (detection, truth) {
        (Some(detection), Some(truth)) if detection.class != truth.class => {
            format!("{} {:.3}, is {}", class(detection.class), detection.score, class(truth.class))
        }
        (Some(detection), Some(_)) => {
            format!("{} {:.3}, IoU {:.2}", class(detection.class), detection.score, mistake.iou)
        }
        (Some(detection), None) => format!("{} {:.3}", class(detection.class), detection.score),
        (None, Some(truth)) => class(truth.class).to_owned(),
        (None, None) => String::new(),
    };
    let [left, top, width, height] = view.frame;
    let image = &comparison.images()[mistake.image].name;
    html! {
        figure class="view" {
            svg viewBox=(format!("{left} {top} {width} {height}")) role="img"
                aria-label=(format!("{}: {said} in {image}", mistake.kind.name())) {
                @if let Some(jpeg) = &view.jpeg {
                    image href=(jpeg) x=(left) y=(top) width=(width) height=(height) preserveAspectRatio="none" {}
                }
                @for (bounds, kind) in [(truth.map(|truth| truth.bounds), "truth"), (detection.map(|found| found.bounds), "detection")] {
                    @if let Some(bounds) = bounds {
                        (outline(&bounds, "halo"))
                        (outline(&bounds, kind))
                    }
                }
            }
            figcaption { strong { (mistake.kind.name()) } ": " (said) br; (image) }
        }
    }
}

fn outline(bounds: &BoundingBox, kind: &str) -> Markup {
    html! {
        rect class=(kind) x=(bounds.left) y=(bounds.top) width=(bounds.width.max(0.0)) height=(bounds.height.max(0.0)) {}
    }
}
