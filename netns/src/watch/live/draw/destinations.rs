//! The pane of destinations: the verdicts on what the listed ports sent.

use super::super::app::App;
use super::pane;
use crate::output::human;
use crate::watch::destinations::{are_counted, destination};
use crate::watch::heads::short;
use netns_ebpf::layout::Decision;
use netns_ebpf::packet::Reason;
use netns_ebpf::{DestinationVerdict, Slot};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use std::collections::HashMap;

/// From this width on there is room for reasons and packets.
const WIDE: u16 = 72;

pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let mut title = vec![Span::styled(" by destination ", app.theme.title())];
    let ports = app.shown.iter().flat_map(|reading| &reading.ports);
    let lost: u64 = ports.filter_map(|port| port.lost_verdicts).map(|lost| lost.packets).sum();
    if lost > 0 {
        title.push(Span::styled(format!("no room for {} packets ", human(lost)), app.theme.warning()));
    }
    let inside = pane(frame, area, title);
    frame.render_widget(Text::from(lines(app, inside)), inside);
}

/// Most bytes first.
fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(reading) = app.shown.as_ref().filter(|reading| are_counted(reading)) else {
        return vec![Line::styled("not counted: that takes --verdicts", app.theme.dim())];
    };
    let is_wide = area.width >= WIDE;
    let titles: HashMap<Slot, String> =
        app.rows.iter().map(|row| (row.info.slot, row.info.title())).collect();
    let shown = reading.verdicts.iter().copied().filter(|verdict| titles.contains_key(&verdict.from));
    let heading = if is_wide {
        format!("{:<10} {:>6} {:>6}  {:<10} {:<20} to", "sender", "pkts", "bytes", "verdict", "reason")
    } else {
        format!("{:<8} {:>6} {:<8} to", "sender", "bytes", "verdict")
    };
    let line = |verdict: DestinationVerdict| {
        let title = titles.get(&verdict.from).map_or("", String::as_str);
        let [address, service] = destination(&verdict);
        let (packets, bytes) = (human(verdict.packets), human(verdict.bytes));
        let (decision, reason) =
            (verdict.decision.name(), verdict.decision.reason().map_or("", Reason::name));
        let (front, middle) = if is_wide {
            let front = format!("{:<10} {packets:>6} {bytes:>6}  ", short(title, 10));
            (front, format!("{decision:<10} {:<20} ", short(reason, 20)))
        } else {
            (format!("{:<8} {bytes:>6} ", short(title, 8)), format!("{:<8} ", short(decision, 8)))
        };
        let style = match verdict.decision {
            Decision::Passed => app.theme.dim(),
            _ => app.theme.warning(),
        };
        Line::from(vec![front.into(), Span::styled(middle, style), format!("{address} {service}").into()])
    };
    let room = usize::from(area.height).saturating_sub(1);
    let mut lines = vec![Line::styled(heading, app.theme.heading())];
    lines.extend(DestinationVerdict::busiest(shown, room).into_iter().map(line));
    lines
}
