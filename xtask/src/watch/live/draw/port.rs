//! The pane of the selected port.

use super::super::app::App;
use super::super::column::Row;
use crate::output::human;
use crate::watch::names::Places;
use netns_ebpf::layout::Traffic;
use netns_ebpf::{Behind, Pair};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders};
use std::cmp::Reverse;

pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let row = app.selected().map(|place| &app.rows[place]);
    let title = row.map_or_else(String::new, |row| format!(" {} ", row.info.name));
    let block = Block::new().borders(Borders::TOP).title(Span::styled(title, app.theme.title()));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if let Some(row) = row {
        frame.render_widget(Text::from(lines(app, row, inside)), inside);
    }
}

fn lines(app: &App, row: &Row, area: Rect) -> Vec<Line<'static>> {
    let label = |text: &str| Span::styled(format!("{text:<10}"), app.theme.heading());
    let mac = row.info.mac.map_or_else(String::new, |mac| format!(", {mac}"));
    let mut lines = vec![
        Line::from(vec![label("port"), format!("ifindex {}{mac}", row.info.ifindex).into()]),
        Line::from(vec![label("behind"), behind(&row.info.behind).into()]),
    ];
    let addresses = if app.addresses.is_empty() { "not known".to_owned() } else { app.addresses.join(", ") };
    lines.push(Line::from(vec![label("addresses"), addresses.into()]));
    lines.push(Line::from(vec![label("sent"), total(row.counters.rx).into()]));
    lines.push(Line::from(vec![label("received"), total(row.counters.tx).into()]));
    if let Some(history) = app.history(row.info.slot) {
        let spark = history.sparkline(usize::from(area.width).saturating_sub(10));
        lines.push(Line::from(vec![label("bit/s"), Span::styled(spark, app.theme.spark())]));
    }
    lines.extend(busiest(app, row, usize::from(area.height).saturating_sub(lines.len())));
    lines
}

fn behind(behind: &Behind) -> String {
    match behind {
        Behind::Named(name) => format!("namespace {name}"),
        Behind::Process { pid, command } => {
            format!("a namespace without a name, of process {pid} ({command})")
        }
        Behind::Id(id) => format!("a namespace of which only the kernel's id is known, {id}"),
        Behind::Here => "the other end is in this namespace".to_owned(),
        _ => "no namespace".to_owned(),
    }
}

fn total(traffic: Traffic) -> String {
    let Traffic { packets, bytes, segments } = traffic;
    format!("{} packets ({} on a wire), {} bytes", human(packets), human(segments), human(bytes))
}

/// The pairs that the port is an end of, the busiest first.
fn busiest(app: &App, row: &Row, most: usize) -> Vec<Line<'static>> {
    let Some(reading) = &app.shown else { return Vec::new() };
    let places = Places::of(reading);
    let slot = row.info.slot;
    let mut pairs: Vec<&Pair> =
        reading.pairs.iter().filter(|pair| pair.from == Some(slot) || pair.to == slot).collect();
    pairs.sort_by_key(|pair| Reverse(pair.bytes));
    let line = |pair: &Pair| {
        let (packets, bytes) = (human(pair.packets), human(pair.bytes));
        let ends = format!("{} -> {}", places.title(pair.from), places.title(Some(pair.to)));
        Line::from(format!("{:10}{ends:<32}{packets:>6} packets {bytes:>6} bytes", ""))
    };
    pairs.into_iter().take(most).map(line).collect()
}
