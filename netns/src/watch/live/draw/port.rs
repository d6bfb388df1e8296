//! The pane of the selected port.

use super::super::app::App;
use super::super::column::TableRow;
use super::pane;
use crate::output::human;
use netns_ebpf::Pair;
use netns_ebpf::layout::{Traffic, Violations};
use netns_ebpf::packet::Reason;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use std::cmp::Reverse;

pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let row = app.selected().map(|place| &app.rows[place]);
    let title = row.map_or_else(String::new, |row| format!(" {} ", row.info.name));
    let inside = pane(frame, area, vec![Span::styled(title, app.theme.title())]);
    if let Some(row) = row {
        frame.render_widget(Text::from(lines(app, row, inside)), inside);
    }
}

fn lines(app: &App, row: &TableRow, area: Rect) -> Vec<Line<'static>> {
    let label = |text: &str| Span::styled(format!("{text:<10}"), app.theme.heading());
    let mac = row.info.mac.map_or_else(String::new, |mac| format!(", {mac}"));
    let mut lines = vec![
        Line::from(vec![label("port"), format!("ifindex {}{mac}", row.info.ifindex).into()]),
        Line::from(vec![label("behind"), row.info.behind.to_string().into()]),
    ];
    let addresses = if app.addresses.is_empty() { "not known".to_owned() } else { app.addresses.join(", ") };
    lines.push(Line::from(vec![label("addresses"), addresses.into()]));
    if let Some(policy) = &app.policy {
        lines.push(Line::from(vec![label("may send"), policy.clone().into()]));
    }
    lines.push(Line::from(vec![label("sent"), total(row.counters.rx).into()]));
    lines.push(Line::from(vec![label("received"), total(row.counters.tx).into()]));
    let port = app.shown.as_ref().and_then(|reading| reading.port(row.info.slot));
    if let Some(lost) = port.map(|port| port.lost).filter(|lost| lost.packets > 0) {
        let (packets, bytes) = (human(lost.packets), human(lost.bytes));
        let text = format!("{packets} packets, {bytes} bytes that it sent: its share of the table is full");
        lines.push(Line::from(vec![label("no pair"), Span::styled(text, app.theme.warning())]));
    }
    if let Some((limits, over)) = port.and_then(|port| port.limits.as_ref()) {
        lines.push(Line::from(vec![label("limit"), limits.to_string().into()]));
        let mut text = format!("{} packets", human(over.packets()));
        if let Some(left) = over.remaining.least() {
            text =
                format!("{text}, of a quota {} bytes are used, {} left", human(over.used.total), human(left));
        }
        let style = if over.packets() > 0 { app.theme.warning() } else { app.theme.dim() };
        lines.push(Line::from(vec![label("over it"), Span::styled(text, style)]));
    }
    if let Some(history) = app.history(row.info.slot) {
        let spark = history.sparkline(usize::from(area.width).saturating_sub(10));
        lines.push(Line::from(vec![label("bit/s"), Span::styled(spark, app.theme.spark())]));
    }
    lines.extend(reasons(app, row, area, lines.len()));
    lines.extend(busiest(app, row, usize::from(area.height).saturating_sub(lines.len())));
    lines
}

fn total(traffic: Traffic) -> String {
    let Traffic { packets, bytes, segments } = traffic;
    format!("{} packets ({} on a wire), {} bytes", human(packets), human(segments), human(bytes))
}

/// The violations by reason, the most frequent first: over time if each has a line of its own, otherwise side by side.
/// A quarter of the room that is left is for the pairs.
fn reasons(app: &App, row: &TableRow, area: Rect, used: usize) -> Vec<Line<'static>> {
    let port = app.shown.as_ref().and_then(|reading| reading.port(row.info.slot));
    let violations = port.and_then(|port| port.violations);
    let mut all: Vec<_> = violations.iter().flat_map(Violations::iter).collect();
    all.sort_by_key(|&(_, packets)| Reverse(packets));
    let left = usize::from(area.height).saturating_sub(used);
    let (room, width) = (left - left.div_ceil(4), usize::from(area.width));
    if all.len() > room {
        return side_by_side(app, &all, room, width);
    }
    let width = width.saturating_sub(43);
    let line = |(reason, packets): (Reason, u64)| {
        let history = app.reason(row.info.slot, reason);
        let spark = history.map_or_else(String::new, |history| history.sparkline(width));
        let text = format!("{:10}{:<24} {:>6}  ", "", reason.name(), human(packets));
        Line::from(vec![Span::styled(text, app.theme.warning()), Span::styled(spark, app.theme.spark())])
    };
    all.into_iter().map(line).collect()
}

/// Several reasons a line, as many as fit; the last place says how many do not.
fn side_by_side(app: &App, all: &[(Reason, u64)], lines: usize, width: usize) -> Vec<Line<'static>> {
    const CELL: usize = 33;
    let across = (width.saturating_sub(10) / CELL).max(1);
    let room = lines * across;
    let shown = if all.len() > room { room.saturating_sub(1) } else { all.len() };
    let cell = |(reason, packets): &(Reason, u64)| format!("{:<24} {:>6}  ", reason.name(), human(*packets));
    let mut cells: Vec<String> = all[..shown].iter().map(cell).collect();
    if shown < all.len() {
        cells.push(format!("and {} more", all.len() - shown));
    }
    let line = |cells: &[String]| Line::styled(format!("{:10}{}", "", cells.concat()), app.theme.warning());
    cells.chunks(across).take(lines).map(line).collect()
}

/// The pairs that this port is part of, the busiest first.
fn busiest(app: &App, row: &TableRow, most: usize) -> Vec<Line<'static>> {
    let Some(reading) = &app.shown else { return Vec::new() };
    let ends = reading.ends();
    let pairs = reading.pairs.iter().copied().filter(|pair| pair.has_end(row.info.slot));
    let line = |pair: Pair| {
        let (packets, bytes) = (human(pair.packets), human(pair.bytes));
        let way = format!("{} -> {}", ends.title(pair.from), ends.title(Some(pair.to)));
        Line::from(format!("{:10}{way:<32}{packets:>6} packets {bytes:>6} bytes", ""))
    };
    Pair::busiest(pairs, most).into_iter().map(line).collect()
}
