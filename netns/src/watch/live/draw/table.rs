//! The table of ports.

use super::super::app::App;
use super::super::column::{Column, TableRow};
use super::super::theme::Theme;
use crate::output::human;
use crate::watch::heads::short;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};

/// A number of three digits with its prefix, and a blank in front.
const NUMBER: usize = 6;
/// The longest name that a link can have.
const PORT: usize = 15;

/// This much of the name behind a port is worth more than a number.
const LABEL: usize = 12;
/// Columns that give way to names, the first ones first. Those of bits stay.
const FIRST_TO_GO: [&[Column]; 3] =
    [&[Column::RxBytes, Column::TxBytes], &[Column::RxPackets, Column::TxPackets], &[Column::Violations]];

/// How wide the columns are.
struct Widths {
    port: usize,
    namespace: usize,
    spark: usize,
    /// The numbers that are shown.
    numbers: Vec<Column>,
}

impl Widths {
    /// Names as wide as they are, as far as there is room; the sparkline takes the rest.
    fn of(app: &App, width: usize) -> Self {
        let longest = |name: fn(&TableRow) -> usize| app.rows.iter().map(name).max().unwrap_or(0);
        let port = longest(|row| row.info.name.to_string().len()).clamp(4, PORT);
        let namespace = longest(|row| row.info.behind.label().chars().count()).max(9);
        let room = |numbers: &[Column]| width.saturating_sub(NUMBER * numbers.len() + 3);
        let mut numbers = Column::NUMBERS.to_vec();
        for columns in FIRST_TO_GO {
            if room(&numbers) < port + namespace.min(LABEL) {
                numbers.retain(|column| !columns.contains(column));
            }
        }
        let room = room(&numbers);
        let port = port.min(room);
        // A sparkline of eight is worth more than the end of a long name.
        let namespace = namespace.min(room.saturating_sub(port + 8).max(LABEL)).min(room - port);
        Self { port, namespace, spark: room - port - namespace, numbers }
    }

    /// How wide the numbers of one direction are.
    fn way(&self) -> usize {
        NUMBER * self.numbers.iter().filter(|&&column| column != Column::Violations).count() / 2
    }
}

pub(super) fn draw(app: &mut App, frame: &mut Frame<'_>, area: Rect) {
    app.page = usize::from(area.height).saturating_sub(2).max(1);
    scroll(app);
    let widths = Widths::of(app, area.width.into());
    let mut lines = vec![groups(app, &widths), headings(app, &widths)];
    let selected = app.selected();
    for (place, row) in app.rows.iter().enumerate().skip(app.first).take(app.page) {
        let style = if selected == Some(place) { Theme::selected() } else { Style::new() };
        lines.push(line(app, row, &widths, style));
    }
    frame.render_widget(Text::from(lines), area);
}

/// Keeps the selected line in sight.
fn scroll(app: &mut App) {
    if let Some(selected) = app.selected() {
        app.first = app.first.min(selected).max((selected + 1).saturating_sub(app.page));
    }
    app.first = app.first.min(app.rows.len().saturating_sub(app.page));
}

fn groups(app: &App, widths: &Widths) -> Line<'static> {
    let names = widths.port + widths.namespace + 1;
    let way = widths.way();
    let [from, to] = if way < NUMBER * 3 { ["from", "to"] } else { ["from namespace", "to namespace"] };
    let text = format!("{:names$}{from:>way$}{to:>way$}", "");
    Line::styled(text, app.theme.heading())
}

fn headings(app: &App, widths: &Widths) -> Line<'static> {
    let heading = |column: Column| {
        let sorted = app.order.column == column;
        let mark = match (sorted, app.order.descending) {
            (false, _) => "",
            (true, true) => "▼",
            (true, false) => "▲",
        };
        let text = match column {
            Column::Port => format!("{:<1$} ", format!("{}{mark}", column.heading()), widths.port),
            Column::Namespace => format!("{:<1$}", format!("{}{mark}", column.heading()), widths.namespace),
            _ => format!("{:>NUMBER$}", format!("{mark}{}", column.heading())),
        };
        Span::styled(text, if sorted { app.theme.sorted() } else { app.theme.heading() })
    };
    let names = [Column::Port, Column::Namespace];
    names.iter().chain(&widths.numbers).map(|&column| heading(column)).collect()
}

/// `selected` is the style of the selected line; its sparkline is easier to read without it.
fn line(app: &App, row: &TableRow, widths: &Widths, selected: Style) -> Line<'static> {
    let (port, namespace) = (widths.port, widths.namespace);
    let names = format!(
        "{:<port$} {:<namespace$}",
        short(&row.info.name.to_string(), port),
        short(&row.info.behind.label(), namespace),
    );
    let number = |column| format!("{:>NUMBER$}", human(Column::number(column, row)));
    let traffic = widths.numbers.iter().copied().filter(|&column| column != Column::Violations);
    let violations = match row.violations {
        _ if !widths.numbers.contains(&Column::Violations) => String::new(),
        None => format!("{:>NUMBER$}", "-"),
        Some(_) => number(Column::Violations),
    };
    let style = if row.violations > Some(0) { app.theme.warning() } else { app.theme.dim() };
    let history = app.history(row.info.slot);
    let spark = history.map_or_else(String::new, |history| history.sparkline(widths.spark));
    Line::from(vec![
        Span::styled(names, selected),
        Span::styled(traffic.map(number).collect::<String>(), selected),
        Span::styled(violations, style.patch(selected)),
        Span::raw("  "),
        Span::styled(spark, app.theme.spark()),
    ])
}
