//! Drawing the view.

mod destinations;
mod help;
mod limits;
mod pairs;
mod port;
mod scopes;
mod table;
mod violations;

use super::app::{App, Pane, ViewMode};
use crate::output::human;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders};

/// Draws all of it.
pub(in crate::watch) fn draw(app: &mut App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let below = pane_height(app, area.height);
    let [title, table, pane, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(below),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(heading(app), title);
    table::draw(app, frame, table);
    match app.pane {
        Pane::None => {}
        Pane::Port => port::draw(app, frame, pane),
        Pane::Pairs => pairs::draw(app, frame, pane),
        Pane::Violations => violations::draw(app, frame, pane),
        Pane::Destinations => destinations::draw(app, frame, pane),
        Pane::Scopes => scopes::draw(app, frame, pane),
        Pane::Limits => limits::draw(app, frame, pane),
    }
    frame.render_widget(foot_line(app, foot), foot);
    if app.mode == ViewMode::Help {
        help::draw(app, frame, area);
    }
}

/// How many lines the pane gets: half of them, up to 24, or more if the table does not need them.
fn pane_height(app: &App, height: u16) -> u16 {
    if app.pane == Pane::None {
        return 0;
    }
    // The title, the table's two headings, the foot.
    let table = u16::try_from(app.rows.len()).unwrap_or(u16::MAX).saturating_add(4);
    (height / 2).min(24).max(height.saturating_sub(table))
}

/// The line above a pane, with its title; and where the pane is.
fn pane(frame: &mut Frame<'_>, area: Rect, title: Vec<Span<'static>>) -> Rect {
    let block = Block::new().borders(Borders::TOP).title(Line::from(title));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    inside
}

/// The bridge's name, and the totals.
fn heading(app: &App) -> Line<'static> {
    let sum = |value: fn(&super::column::TableRow) -> u64| app.rows.iter().map(value).sum::<u64>();
    let packets = sum(|row| row.rates.rx.packets);
    let bits = sum(|row| row.rates.rx.bits);
    let (count, all) = (app.rows.len(), app.shown.as_ref().map_or(0, |reading| reading.ports.len()));
    let ports = if all == 1 { "port" } else { "ports" };
    let count = if count == all { format!("{all} {ports}") } else { format!("{count} of {all} {ports}") };
    let mut spans = vec![
        Span::styled(format!(" {} ", app.network), app.theme.title()),
        Span::raw(format!(" {count}  {} pkt/s  {} bit/s", human(packets), human(bits))),
        Span::styled(format!("  {:.0} s", app.time().as_secs_f64()), app.theme.dim()),
    ];
    let violations: u64 = app.rows.iter().filter_map(|row| row.violations).sum();
    if violations > 0 {
        spans.push(Span::styled(format!("  {} violations", human(violations)), app.theme.warning()));
    }
    if app.paused {
        spans.push(Span::styled("  PAUSED", app.theme.warning()));
    }
    if !app.filter.is_empty() {
        spans.push(Span::styled(format!("  filter: {}", app.filter), app.theme.sorted()));
    }
    Line::from(spans)
}

/// The filter that is being typed, the last message, or the keys.
fn foot_line(app: &App, area: Rect) -> Line<'static> {
    if app.mode == ViewMode::Filter {
        return Line::from(format!("/{}█  Enter keeps it, Esc drops it", app.filter));
    }
    if let Some(message) = &app.message {
        let width = usize::from(area.width);
        return Line::styled(message.chars().take(width).collect::<String>(), app.theme.warning());
    }
    Line::styled(
        "←→ sort  / filter  p pause  ↑↓ Enter port  m pairs  v violations  ? help  q quit",
        app.theme.dim(),
    )
}
