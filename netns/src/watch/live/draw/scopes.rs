//! The pane of scopes: where the ports' frames went, and where they came from.

use super::super::app::App;
use super::pane;
use crate::output::human;
use crate::watch::heads::distinct;
use netns_ebpf::layout::{Passed, ScopeCounters};
use netns_ebpf::packet::TrafficScope;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};

/// The ports' names, and a cell.
const NAME: usize = 9;
const CELL: usize = 6;

/// A way: what it is called, and what passed that way.
type ScopeWay = (&'static str, fn(&ScopeCounters, TrafficScope) -> Passed);
const WAYS: [ScopeWay; 2] = [("out", ScopeCounters::to), ("in", ScopeCounters::from)];

pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let title = Span::styled(" bytes by scope: out to it, in from it ", app.theme.title());
    let inside = pane(frame, area, vec![title]);
    frame.render_widget(Text::from(lines(app, inside)), inside);
}

/// The ports in the table's order; where there is room for one direction only, what they sent.
fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(reading) = app.shown.as_ref().filter(|reading| is_counted(reading)) else {
        return vec![Line::styled("not counted: that takes --scopes", app.theme.dim())];
    };
    let room = usize::from(area.width).saturating_sub(NAME);
    let ways = if room < WAYS.len() * TrafficScope::COUNT * CELL { &WAYS[..1] } else { &WAYS[..] };
    let cell = room / (ways.len() * TrafficScope::COUNT);
    let cell = cell.clamp(CELL, 2 * CELL);
    let heading = |scope: TrafficScope| {
        let width = cell * ways.len();
        // It ends before the next one begins.
        format!("{:>width$}", scope.name().chars().take(width - 1).collect::<String>())
    };
    let scopes: String = TrafficScope::ALL.into_iter().map(heading).collect();
    let mut lines = vec![Line::styled(format!("{:NAME$}{scopes}", ""), app.theme.heading())];
    if ways.len() > 1 {
        let each = WAYS.map(|(name, _)| format!("{name:>cell$}")).concat();
        let text = format!("{:NAME$}{}", "", each.repeat(TrafficScope::COUNT));
        lines.push(Line::styled(text, app.theme.heading()));
    }
    let rows = &app.rows[..app.rows.len().min(usize::from(area.height).saturating_sub(lines.len()))];
    let titles: Vec<String> = rows.iter().map(|row| row.info.title()).collect();
    for (row, head) in rows.iter().zip(distinct(&titles, NAME - 1)) {
        let Some(scopes) = reading.port(row.info.slot).and_then(|port| port.scopes) else { continue };
        let mut spans = vec![Span::styled(format!("{head:<NAME$}"), app.theme.heading())];
        for (scope, (_, way)) in
            TrafficScope::ALL.into_iter().flat_map(|scope| ways.iter().map(move |way| (scope, way)))
        {
            spans.push(match way(&scopes, scope).bytes {
                0 => Span::styled(format!("{:>cell$}", "·"), app.theme.dim()),
                bytes => Span::raw(format!("{:>cell$}", human(bytes))),
            });
        }
        lines.push(Line::from(spans));
    }
    lines
}

fn is_counted(reading: &netns_ebpf::Reading) -> bool {
    reading.ports.iter().any(|port| port.scopes.is_some())
}
