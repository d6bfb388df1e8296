//! The pane of the latest violations.

use super::super::app::App;
use super::pane;
use crate::watch::heads::short;
use crate::watch::violation::{fate, sender, way};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};

pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let heading = " the latest frames that may not be sent ";
    let inside = pane(frame, area, vec![Span::styled(heading, app.theme.title())]);
    frame.render_widget(Text::from(lines(app, inside)), inside);
}

/// The latest first.
fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    if app.violations.is_empty() {
        return vec![Line::styled("none", app.theme.dim())];
    }
    let heading = format!(
        "{:>7}  {:<10} {:<24} {:>6}  {:<8} from > to",
        "seconds", "sender", "reason", "bytes", "fate"
    );
    let mut lines = vec![Line::styled(heading, app.theme.heading())];
    let room = usize::from(area.height).saturating_sub(1);
    lines.extend(app.violations.iter().rev().take(room).map(|(time, violation)| {
        let sender = short(&sender(violation).1, 10);
        let (reason, length) = (violation.reason.name(), violation.length);
        Line::from(vec![
            Span::styled(format!("{:>7.1}", time.as_secs_f64()), app.theme.dim()),
            Span::raw(format!("  {sender:<10} ")),
            Span::styled(format!("{reason:<24}"), app.theme.sorted()),
            Span::raw(format!(" {length:>6}  {:<8} ", fate(violation))),
            Span::styled(way(violation), app.theme.dim()),
        ])
    }));
    lines
}
