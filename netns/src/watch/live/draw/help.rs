//! What the keys do.

use super::super::app::App;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::Text;
use ratatui::widgets::{Block, Clear, Paragraph};

const KEYS: &str = "\
←  →  <  >     sort by the next column
1 to 9         sort by this column
r              the other way round
↑  ↓  j  k     select a port
PgUp PgDn g G  page by page, to the ends
Enter          the selected port: policy, violations, pairs
m              who sends to whom, as a heat map
v              the latest frames that may not be sent
d              by destination, with --verdicts
s              by scope, with --scopes
l              limits, what was over them, quotas
/              show only ports whose names contain this
p  Space       pause; counting goes on
Esc            close the pane, drop the filter
q  Ctrl-C      end

\"from namespace\" is what a port receives from the namespace
behind it (rx of `ip -s link`), \"to namespace\" what it sends
there (tx). viol: violations, frames it may not send.
1k is 1000. Bars: bit/s both ways, one per reading.";

pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let lines = KEYS.lines().count() as u16 + 2;
    let width = KEYS.lines().map(|line| line.chars().count()).max().unwrap_or(0) as u16 + 4;
    let area = area.centered(Constraint::Length(width), Constraint::Length(lines));
    let block = Block::bordered().title(" keys ").title_style(app.theme.title());
    let block = block.padding(ratatui::widgets::Padding::horizontal(1));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(Text::from(KEYS)).block(block), area);
}
