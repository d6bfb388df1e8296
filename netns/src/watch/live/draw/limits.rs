//! The pane of limits: what was over them, and how much of the quotas is used.

use super::super::app::App;
use super::pane;
use crate::output::human;
use crate::watch::heads::distinct;
use netns_ebpf::layout::Dropped;
use netns_ebpf::{Limits, OverLimits};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};

/// The ports' names, and a cell.
const NAME: usize = 9;
const CELL: usize = 7;
const HEADINGS: [&str; 3] = ["out", "in", "left"];

pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let title = " limits: packets over them out and in, bytes of the quota left ";
    let inside = pane(frame, area, vec![Span::styled(title, app.theme.title())]);
    frame.render_widget(Text::from(lines(app, inside)), inside);
}

/// The ports that have limits, in the table's order.
fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(reading) = &app.shown else { return Vec::new() };
    let room = usize::from(area.height).saturating_sub(1);
    let limited: Vec<(String, (Limits, OverLimits))> = app
        .rows
        .iter()
        .filter_map(|row| Some((row.info.title(), reading.port(row.info.slot)?.limits?)))
        .take(room)
        .collect();
    if limited.is_empty() {
        return vec![Line::styled("no port has limits", app.theme.dim())];
    }
    let cells = |cells: [String; 3]| cells.map(|cell| format!("{cell:>CELL$}")).concat();
    let heading = format!("{:NAME$}{}  limit", "", cells(HEADINGS.map(str::to_owned)));
    let mut lines = vec![Line::styled(heading, app.theme.heading())];
    let titles: Vec<String> = limited.iter().map(|(title, _)| title.clone()).collect();
    for ((_, (limits, over)), head) in limited.iter().zip(distinct(&titles, NAME - 1)) {
        let of = |rate: Dropped, quota: Dropped| human(rate.packets + quota.packets);
        let (out, into) = (of(over.limited_rx, over.over_quota_rx), of(over.limited_tx, over.over_quota_tx));
        let left = over.remaining.least().map_or_else(|| "-".to_owned(), human);
        let style = if over.packets() > 0 { app.theme.warning() } else { app.theme.dim() };
        lines.push(Line::from(vec![
            Span::styled(format!("{head:<NAME$}"), app.theme.heading()),
            Span::styled(cells([out, into, left]), style),
            format!("  {limits}").into(),
        ]));
    }
    lines
}
