//! Plots as SVG, without scripts or external resources.

use super::report::{MeasuredBar, ReportedCurve, StepTimes, time};
use std::fmt::Write;

/// Width of a plot, and the part that names take.
const WIDTH: f64 = 860.0;
const NAMES: f64 = 230.0;
/// Room for a number after a bar.
const NUMBERS: f64 = 70.0;
const BAR: f64 = 24.0;
/// Size and margins of a plot with axes.
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 16.0;
/// A palette that colour-blind people can distinguish too (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442", "#999999"];

/// Text that cannot be mistaken for markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn svg(label: &str, height: f64, content: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">{content}</svg>\n",
        escape(label)
    )
}

fn text(x: f64, y: f64, anchor: &str, content: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(content))
}

/// Bars on a logarithmic scale, shortest first. Ours have a colour of their own.
pub(super) fn bars(label: &str, bars: &[MeasuredBar]) -> String {
    let mut sorted: Vec<&MeasuredBar> = bars.iter().filter(|bar| bar.us > 0.0).collect();
    sorted.sort_by(|one, other| one.us.total_cmp(&other.us));
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return String::new() };
    let (floor, ceiling) = (decade_below(least.us), most.us.log10());
    let scale = (WIDTH - NAMES - NUMBERS) / (ceiling - floor).max(0.1);
    let mut content = String::new();
    let mut y = 4.0;
    for bar in &sorted {
        let width = (bar.us.log10() - floor) * scale;
        let colour = if bar.name.starts_with("netns-core") {
            COLOURS[0]
        } else if bar.name.starts_with("the floor") {
            COLOURS[7]
        } else {
            COLOURS[1]
        };
        content += &text(NAMES - 8.0, y + 15.0, "end", &bar.name);
        let _ = write!(
            content,
            "<rect x=\"{NAMES}\" y=\"{y}\" width=\"{width:.1}\" height=\"18\" fill=\"{colour}\"/>"
        );
        content += &text(NAMES + width + 6.0, y + 15.0, "start", &time(bar.us));
        y += BAR;
    }
    svg(label, y + 4.0, &content)
}

/// One bar per kind, made of its steps, and a legend.
pub(super) fn stacks(label: &str, kinds: &[StepTimes]) -> String {
    let total = |kind: &StepTimes| kind.steps.iter().map(|step| step.us).sum::<f64>();
    let most = kinds.iter().map(total).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let scale = (WIDTH - NAMES - NUMBERS) / most;
    let mut names: Vec<&str> = Vec::new();
    for step in kinds.iter().flat_map(|kind| &kind.steps) {
        if !names.contains(&step.name.as_str()) {
            names.push(&step.name);
        }
    }
    let colour = |name: &str| {
        let place = names.iter().position(|other| *other == name).unwrap_or(0);
        (COLOURS[place % COLOURS.len()], if place >= COLOURS.len() { 0.5 } else { 1.0 })
    };
    let mut content = String::new();
    let mut y = 4.0;
    for kind in kinds {
        content += &text(NAMES - 8.0, y + 15.0, "end", &kind.kind);
        let mut x = NAMES;
        for step in &kind.steps {
            let (fill, opacity) = colour(&step.name);
            let width = step.us * scale;
            let _ = write!(
                content,
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"18\" fill=\"{fill}\" \
                 fill-opacity=\"{opacity}\"><title>{}: {}</title></rect>",
                escape(&step.name),
                time(step.us)
            );
            x += width;
        }
        content += &text(x + 6.0, y + 15.0, "start", &time(total(kind)));
        y += BAR;
    }
    y += 8.0;
    for name in &names {
        let (fill, opacity) = colour(name);
        let _ = write!(
            content,
            "<rect x=\"{NAMES}\" y=\"{y}\" width=\"12\" height=\"12\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>"
        );
        content += &text(NAMES + 18.0, y + 11.0, "start", name);
        y += 18.0;
    }
    svg(label, y + 4.0, &content)
}

/// What is along the lower edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// A number, on a logarithmic scale.
    Number,
    /// A fraction from 0 to 1; 0.9 to 0.99 gets as much room as 0 to 0.9.
    Share,
}

impl Axis {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Number => value.max(1e-9).log10(),
            Self::Share => -(1.0 - value).max(1e-9).log10(),
        }
    }

    fn tick(self, place: f64) -> String {
        match self {
            Self::Number => format!("{:.0}", 10_f64.powf(place)),
            Self::Share if place < 0.5 => "0".to_owned(),
            Self::Share => format!("p{}", 100.0 * (1.0 - 10_f64.powf(-place))).chars().take(7).collect(),
        }
    }
}

/// Curves of microseconds on a logarithmic scale.
pub(super) fn curves(label: &str, axis: Axis, curves: &[ReportedCurve]) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points).filter(|(_, us)| *us > 0.0);
    let places = || points().map(|(x, _)| axis.place(*x));
    let heights = || points().map(|(_, us)| us.log10());
    if points().next().is_none() {
        return String::new();
    }
    let (left, right) = (places().fold(f64::INFINITY, f64::min), places().fold(f64::NEG_INFINITY, f64::max));
    let low = heights().fold(f64::INFINITY, f64::min).floor();
    let high = heights().fold(f64::NEG_INFINITY, f64::max).ceil().max(low + 1.0);
    let x = |place: f64| LEFT + (place - left) / (right - left).max(1e-9) * (WIDTH - LEFT - NUMBERS - 40.0);
    let y = |height: f64| TOP + (high - height) / (high - low) * (HEIGHT - TOP - BOTTOM);
    let mut content = String::new();
    let mut grid = |x1: f64, y1: f64, x2: f64, y2: f64| {
        let _ = write!(
            content,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"grid\"/>"
        );
    };
    let mut labels = String::new();
    let mut decade = low;
    while decade <= high {
        grid(LEFT, y(decade), x(right), y(decade));
        labels += &text(LEFT - 8.0, y(decade) + 4.0, "end", &time(10_f64.powf(decade)));
        decade += 1.0;
    }
    let mut decade = left.ceil();
    while decade <= right {
        grid(x(decade), TOP, x(decade), HEIGHT - BOTTOM);
        labels += &text(x(decade), HEIGHT - BOTTOM + 18.0, "middle", &axis.tick(decade));
        decade += 1.0;
    }
    content += &labels;
    for (curve, colour) in curves.iter().zip(COLOURS) {
        let drawn: Vec<(f64, f64)> = curve.points.iter().copied().filter(|(_, us)| *us > 0.0).collect();
        let line: Vec<String> = drawn
            .iter()
            .map(|(value, us)| format!("{:.1},{:.1}", x(axis.place(*value)), y(us.log10())))
            .collect();
        let _ = write!(
            content,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
    }
    let mut at = TOP + 10.0;
    for (curve, colour) in curves.iter().zip(COLOURS) {
        let _ = write!(
            content,
            "<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>",
            WIDTH - NUMBERS - 30.0,
            at - 10.0
        );
        content += &text(WIDTH - NUMBERS - 14.0, at, "start", &curve.name);
        at += 18.0;
    }
    svg(label, HEIGHT, &content)
}

fn decade_below(us: f64) -> f64 {
    // A bar for the shortest one, too.
    (us.log10() - 0.2).floor()
}
