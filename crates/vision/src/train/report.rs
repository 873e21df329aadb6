//! The history of a training as one page of HTML, which needs nothing beside itself: no script, and nothing from a network.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::history::History;

const STYLE: &str = include_str!("report.css");
/// The size of a plot, and the space for its labels left and below, in its own units.
const SIZE: [f64; 2] = [420.0, 260.0];
const LABELS: [f64; 2] = [64.0, 40.0];
/// The space above and to the right.
const MARGIN: f64 = 12.0;
/// Lines of the grid.
const LINES: usize = 4;

/// A curve: its name, and a value for each epoch.
struct Curve<'a> {
    name: &'a str,
    values: Vec<f64>,
}

/// The page. `settings` are names and values.
#[must_use]
pub fn report(history: &History, settings: &[(String, String)]) -> String {
    let epochs = &history.epochs;
    let of = |name: &'static str, value: &dyn Fn(&super::Epoch) -> f64| Curve {
        name,
        values: epochs.iter().map(value).collect(),
    };
    let mut losses = vec![of("train_loss", &|epoch| epoch.train_loss)];
    let mut plots = Vec::new();
    let figures = epochs.first().map_or(&[][..], |epoch| &epoch.figures[..]);
    for (index, (name, _)) in figures.iter().enumerate() {
        let values = epochs.iter().map(|epoch| epoch.figure(name).unwrap_or(f64::NAN)).collect();
        let curve = Curve { name, values };
        if index == 0 { losses.push(curve) } else { plots.push((name.as_str(), vec![curve])) }
    }
    plots.insert(0, ("Losses", losses));
    plots.push(("Largest learning rate", vec![of("lr", &|epoch| epoch.rate)]));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "How the training went" }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                h1 { "How the training went" }
                @if let Some(last) = epochs.last() {
                    p {
                        (epochs.len()) " epochs in " (duration(epochs.iter().map(|epoch| epoch.seconds).sum())) ". At the end: "
                        "train_loss " (short(last.train_loss))
                        @for (name, value) in &last.figures { ", " (name) " " (short(*value)) }
                        "."
                    }
                } @else {
                    p { "No epoch was done." }
                }
                div class="plots" { @for (title, curves) in &plots {
                    figure { figcaption { (title) } (plot(title, curves)) (key(curves)) }
                } }
                h2 { "Epochs" }
                (table(history))
                h2 { "Settings" }
                table { @for (name, value) in settings { tr { th scope="row" { (name) } td { (value) } } } }
            } }
        }
    };
    page.into_string()
}

/// The range of all values, a little more than nothing.
fn range(curves: &[Curve]) -> [f64; 2] {
    let values = curves.iter().flat_map(|curve| &curve.values).copied().filter(|value| value.is_finite());
    let [low, high] =
        values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)]);
    match high - low {
        spread if spread > 0.0 => [low, high],
        _ if low.is_finite() => [low - 0.5 * low.abs().max(1e-9), high + 0.5 * high.abs().max(1e-9)],
        _ => [0.0, 1.0],
    }
}

fn plot(name: &str, curves: &[Curve]) -> Markup {
    let [low, high] = range(curves);
    let count = curves.iter().map(|curve| curve.values.len()).max().unwrap_or(0);
    let [width, height] = [SIZE[0] - LABELS[0] - MARGIN, SIZE[1] - LABELS[1] - MARGIN];
    let x = |index: usize| LABELS[0] + width * if count > 1 { index as f64 / (count - 1) as f64 } else { 0.5 };
    let y = |value: f64| MARGIN + height * (1.0 - (value - low) / (high - low));
    let point = |(index, value): (usize, &f64)| value.is_finite().then(|| (x(index), y(*value)));
    let points = |curve: &Curve| curve.values.iter().enumerate().filter_map(point).collect::<Vec<_>>();
    let path =
        |points: &[(f64, f64)]| points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
    html! {
        svg role="img" aria-label=(name) viewBox=(format!("0 0 {} {}", SIZE[0], SIZE[1])) {
            @for line in 0..=LINES {
                @let value = low + (high - low) * line as f64 / LINES as f64;
                line class="grid" x1=(LABELS[0]) x2=(LABELS[0] + width) y1=(y(value)) y2=(y(value)) {}
                text x=(LABELS[0] - 6.0) y=(y(value) + 4.0) text-anchor="end" { (short(value)) }
            }
            @if count > 0 {
                text x=(x(0)) y=(SIZE[1] - 18.0) text-anchor="middle" { "1" }
                @if count > 1 { text x=(x(count - 1)) y=(SIZE[1] - 18.0) text-anchor="middle" { (count) } }
            }
            text x=(LABELS[0] + width / 2.0) y=(SIZE[1] - 4.0) text-anchor="middle" { "epoch" }
            @for (index, curve) in curves.iter().enumerate() {
                @let points = points(curve);
                polyline class={"curve-" (index)} points=(path(&points)) {}
                @for (x, y) in &points { circle class={"dot-" (index)} cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="2.5" {} }
            }
        }
    }
}

fn key(curves: &[Curve]) -> Markup {
    html! { p class="key" { @for (index, curve) in curves.iter().enumerate() { span class={"key-" (index)} { (curve.name) } " " } } }
}

fn table(history: &History) -> Markup {
    let names = history.epochs.first().map_or(&[][..], |epoch| &epoch.figures[..]);
    html! {
        table class="numbers" {
            tr {
                @for name in ["phase", "epoch", "train_loss"] { th scope="col" { (name) } }
                @for (name, _) in names { th scope="col" { (name) } }
                @for name in ["lr", "seconds"] { th scope="col" { (name) } }
            }
            @for epoch in &history.epochs {
                tr {
                    td { (epoch.phase) } td { (epoch.epoch) } td { (short(epoch.train_loss)) }
                    @for (_, value) in &epoch.figures { td { (short(*value)) } }
                    td { (short(epoch.rate)) } td { (format!("{:.1}", epoch.seconds)) }
                }
            }
        }
    }
}

/// A number with four digits.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e4).contains(&size) => format!("{value:.2e}"),
        size if size < 1.0 => format!("{value:.4}"),
        size if size < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

fn duration(seconds: f64) -> String {
    match seconds.round() as u64 {
        seconds if seconds < 60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}
