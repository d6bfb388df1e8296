//! The pane of the pairs: who sends how much to whom, as a heat map in the order of the table.

use super::super::app::App;
use super::pane;
use crate::output::human;
use crate::watch::heads::distinct;
use netns_ebpf::{Ends, Slot};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use std::collections::HashMap;

/// The senders' names.
const NAME: usize = 10;
/// A cell with its number in it, and one without.
const WIDE: usize = 7;
const NARROW: usize = 3;

pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let heading = " bytes, sender by line, receiver by column ";
    let mut title = vec![Span::styled(heading, app.theme.title())];
    if let Some(lost) = app.shown.as_ref().map(|reading| reading.lost).filter(|lost| lost.packets > 0) {
        let text = format!("no room for {} packets, {} bytes ", human(lost.packets), human(lost.bytes));
        title.push(Span::styled(text, app.theme.warning()));
    }
    let inside = pane(frame, area, title);
    frame.render_widget(Text::from(lines(app, inside)), inside);
}

fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(reading) = &app.shown else { return Vec::new() };
    let room = usize::from(area.width).saturating_sub(NAME + 1);
    let cell = if app.rows.len() * WIDE <= room { WIDE } else { NARROW };
    let receivers = &app.rows[..app.rows.len().min(room / cell)];
    // One line is the heading, one is the host's.
    let senders = &app.rows[..app.rows.len().min(usize::from(area.height).saturating_sub(2))];
    let bytes: HashMap<(Option<Slot>, Slot), u64> =
        reading.pairs.iter().map(|pair| ((pair.from, pair.to), pair.bytes)).collect();
    let hottest = bytes.values().copied().max().unwrap_or(0);

    let titles: Vec<String> = app.rows.iter().map(|row| row.info.title()).collect();
    let heads = distinct(&titles[..receivers.len()], WIDE - 2);
    let names = heads.into_iter().enumerate().map(|(number, head)| {
        if cell == WIDE {
            format!("{head:>0$} ", WIDE - 1)
        } else {
            // The lines are numbered alike.
            format!("{:>NARROW$}", (number + 1) % 100)
        }
    });
    let heading: String = std::iter::once(" ".repeat(NAME + 1)).chain(names).collect();
    let mut lines = vec![Line::styled(heading, app.theme.heading())];
    let row = |name: String, from: Option<Slot>| {
        let mut spans = vec![Span::styled(format!("{name:<NAME$} "), app.theme.heading())];
        spans.extend(receivers.iter().map(|to| {
            let value = bytes.get(&(from, to.info.slot)).copied().unwrap_or(0);
            one_cell(app, value, hottest, cell)
        }));
        Line::from(spans)
    };
    lines.push(row(Ends::HOST.to_owned(), None));
    // Beside a number there is less room.
    let name = if cell == WIDE { NAME } else { NAME - 3 };
    let heads = distinct(&titles[..senders.len()], name);
    for (number, (sender, head)) in senders.iter().zip(heads).enumerate() {
        let head = if cell == WIDE { head } else { format!("{:>2} {head}", (number + 1) % 100) };
        lines.push(row(head, Some(sender.info.slot)));
    }
    lines
}

fn one_cell(app: &App, value: u64, hottest: u64, width: usize) -> Span<'static> {
    let Some((style, shade)) = app.theme.heat(value, hottest) else {
        return Span::styled(format!("{:>1$} ", "·", width - 1), app.theme.dim());
    };
    if width == WIDE {
        return Span::styled(format!("{shade}{:>1$} ", human(value), WIDE - 2), style);
    }
    Span::styled(shade.to_string().repeat(width), style)
}
