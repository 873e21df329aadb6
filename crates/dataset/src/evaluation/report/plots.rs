//! Plots as SVG, whose colours are variables of the page's style sheet: one plot serves light and dark.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;

/// The size of a plot in its own units. Letters have 15 of them, so that they can be read where a phone shows the plot.
const SIZE: (u32, u32) = (420, 300);
const LETTERS: u32 = 18;

/// The colours of the style sheet, each with the colour that stands for it until the plot is done.
const COLOURS: [(&str, RGBColor); 6] = [
    ("var(--ink)", RGBColor(1, 0, 0)),
    ("var(--rule)", RGBColor(2, 0, 0)),
    ("var(--paper)", RGBColor(3, 0, 0)),
    ("var(--first)", RGBColor(4, 0, 0)),
    ("var(--second)", RGBColor(5, 0, 0)),
    ("var(--third)", RGBColor(6, 0, 0)),
];
const INK: RGBColor = COLOURS[0].1;
const RULE: RGBColor = COLOURS[1].1;
/// The colours of the series.
const SERIES: [RGBColor; 3] = [COLOURS[3].1, COLOURS[4].1, COLOURS[5].1];

/// A curve.
pub(super) struct Curve {
    /// Across and up.
    pub(super) points: Vec<(f64, f64)>,
    /// 0, 1 or 2: the colours of the style sheet, `--first` to `--third`.
    pub(super) series: usize,
}

/// A bar of two parts, one on the other.
pub(super) struct Bar {
    /// Where it stands.
    pub(super) across: Range<f64>,
    /// The lower part, in the first colour, and the upper part, in the second.
    pub(super) parts: [f64; 2],
}

/// The names of both axes.
pub(super) struct Axes {
    pub(super) across: &'static str,
    pub(super) up: &'static str,
}

/// Draws curves whose values up are shares, 0 to 1.
pub(super) fn curves(name: &str, axes: &Axes, across: Range<f64>, curves: &[Curve]) -> Result<String, String> {
    drawn(name, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(18)
            .x_label_area_size(46)
            .y_label_area_size(56)
            .build_cartesian_2d(across, 0.0..1.0)?;
        mesh(&mut chart, axes, &|value| format!("{value:.1}"), &|value| format!("{value:.1}"))?;
        for curve in curves {
            let colour = SERIES[curve.series % SERIES.len()];
            // The second and third curve are dashed too: a colour alone does not tell them apart for everyone.
            let points = curve.points.iter().copied();
            match curve.series {
                0 => chart.draw_series(LineSeries::new(points, colour.stroke_width(3)))?,
                1 => chart.draw_series(DashedLineSeries::new(points, 9, 4, colour.stroke_width(3)))?,
                _ => chart.draw_series(DashedLineSeries::new(points, 3, 4, colour.stroke_width(3)))?,
            };
        }
        Ok(())
    })
}

/// Draws bars. `label` writes the numbers of the axis across.
pub(super) fn bars(
    name: &str,
    axes: &Axes,
    across: Range<f64>,
    bars: &[Bar],
    label: &dyn Fn(&f64) -> String,
) -> Result<String, String> {
    let highest = bars.iter().map(|bar| bar.parts[0] + bar.parts[1]).fold(1.0, f64::max);
    drawn(name, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(18)
            .x_label_area_size(46)
            .y_label_area_size(66)
            .build_cartesian_2d(across, 0.0..highest * 1.05)?;
        mesh(&mut chart, axes, label, &count)?;
        for bar in bars {
            let [lower, upper] = bar.parts;
            let (left, right) = (bar.across.start, bar.across.end);
            chart.draw_series([
                Rectangle::new([(left, 0.0), (right, lower)], SERIES[0].filled()),
                Rectangle::new([(left, lower), (right, lower + upper)], SERIES[1].filled()),
            ])?;
        }
        Ok(())
    })
}

/// A count as short text: 1200 is 1.2k.
fn count(value: &f64) -> String {
    match *value {
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 1e4 => format!("{:.0}k", value / 1e3),
        value if value >= 1e3 => format!("{:.1}k", value / 1e3),
        value => format!("{value:.0}"),
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawing = Result<(), Box<dyn std::error::Error>>;
type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn mesh(
    chart: &mut Chart<'_, '_>,
    axes: &Axes,
    across: &dyn Fn(&f64) -> String,
    up: &dyn Fn(&f64) -> String,
) -> Drawing {
    let letters = ("sans-serif", LETTERS).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RULE)
        .axis_style(INK)
        .label_style(letters.clone())
        .axis_desc_style(letters)
        .x_desc(axes.across)
        .y_desc(axes.up)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(across)
        .y_label_formatter(up)
        .draw()?;
    Ok(())
}

/// Draws a plot and names it for readers who do not see it.
fn drawn(name: &str, draw: impl FnOnce(&Area<'_>) -> Drawing) -> Result<String, String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    draw(&area).and_then(|()| Ok(area.present()?)).map_err(|error| error.to_string())?;
    drop(area);
    for (variable, colour) in COLOURS {
        svg = svg.replace(&format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2), variable);
    }
    let named = maud::html! { svg role="img" aria-label=(name) {} }.into_string();
    let named = named.strip_suffix("></svg>").unwrap_or("<svg");
    let (width, height) = SIZE;
    Ok(svg.replacen(&format!("<svg width=\"{width}\" height=\"{height}\""), named, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_page_and_names_are_escaped() {
        let axes = Axes { across: "recall", up: "precision" };
        let curve = |series| Curve { points: vec![(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)], series };
        let svg = curves("<cap> & \"mug\"", &axes, 0.0..1.0, &[curve(0), curve(1), curve(2)]).unwrap();
        assert!(
            svg.starts_with("<svg role=\"img\" aria-label=\"&lt;cap&gt; &amp; &quot;mug&quot;\" viewBox="),
            "{svg}"
        );
        for colour in ["var(--ink)", "var(--rule)", "var(--first)", "var(--second)", "var(--third)"] {
            assert!(svg.contains(colour), "{colour}");
        }
        assert!(!svg.contains("\"#"), "a colour is fixed: {svg}");
    }

    #[test]
    fn bars_of_nothing_can_be_drawn() {
        let axes = Axes { across: "score", up: "detections" };
        let bar = Bar { across: 0.0..0.5, parts: [0.0, 0.0] };
        assert!(bars("scores", &axes, 0.0..1.0, &[bar], &|value| format!("{value:.1}")).is_ok());
        assert_eq!(["0", "999", "1.2k", "12k", "1.5M"], [0.0, 999.0, 1200.0, 12_000.0, 1_500_000.0].map(|n| count(&n)));
    }
}
