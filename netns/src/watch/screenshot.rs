//! `--screenshot FILE`: the live view as it would be on a terminal, drawn into an SVG file.

use super::live::{App, Theme, draw};
use crate::failure::Failure;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Of the terminal, in characters.
const COLUMNS: u16 = 92;
const LINES: u16 = 24;
/// Of a character, in pixels.
const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 18.0;
const MARGIN: f32 = 12.0;
const FONT: &str = "font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,monospace\" font-size=\"14\"";
const FOREGROUND: [u8; 3] = [0xd8, 0xde, 0xe9];
const BACKGROUND: [u8; 3] = [0x16, 0x1b, 0x22];
/// The first sixteen colours, as most terminals have them.
#[rustfmt::skip]
const SIXTEEN: [[u8; 3]; 16] = [
    [0x16, 0x1b, 0x22], [0xe0, 0x6c, 0x75], [0x98, 0xc3, 0x79], [0xe5, 0xc0, 0x7b],
    [0x61, 0xaf, 0xef], [0xc6, 0x78, 0xdd], [0x56, 0xb6, 0xc2], [0xab, 0xb2, 0xbf],
    [0x5c, 0x63, 0x70], [0xe0, 0x6c, 0x75], [0x98, 0xc3, 0x79], [0xe5, 0xc0, 0x7b],
    [0x61, 0xaf, 0xef], [0xc6, 0x78, 0xdd], [0x56, 0xb6, 0xc2], [0xff, 0xff, 0xff],
];

/// An empty view, to which readings are fed.
pub(super) fn view(network: &str) -> App {
    App::new(network, Theme::COLOUR)
}

/// Writes what the view shows.
pub(super) fn write(app: &mut App, path: &Path) -> Result<(), Failure> {
    let mut terminal = Terminal::new(TestBackend::new(COLUMNS, LINES)).unwrap_or_else(|never| match never {});
    terminal.draw(|frame| draw(app, frame)).unwrap_or_else(|never| match never {});
    let picture = svg(terminal.backend().buffer());
    fs::write(path, picture).map_err(|error| Failure::Kernel(format!("write {}: {error}", path.display())))
}

/// Characters of one style side by side become one text, as wide as they are on a terminal.
fn svg(buffer: &Buffer) -> String {
    let area = buffer.area;
    let width = f32::from(area.width) * WIDTH + 2.0 * MARGIN;
    let height = f32::from(area.height) * HEIGHT + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" {FONT}>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{}\"/>\n",
        hex(BACKGROUND)
    );
    for line in 0..area.height {
        let mut column = 0;
        while column < area.width {
            let style = look(&buffer[(column, line)]);
            let end =
                (column..area.width).find(|&next| look(&buffer[(next, line)]) != style).unwrap_or(area.width);
            let text: String = (column..end).map(|column| buffer[(column, line)].symbol()).collect();
            run(&mut out, style, &text, (column, line), end - column);
            column = end;
        }
    }
    out + "</svg>\n"
}

/// Foreground, background, and whether it is bold.
type Look = ([u8; 3], [u8; 3], bool);

fn look(cell: &Cell) -> Look {
    let (mut front, mut back) = (rgb(cell.fg, FOREGROUND), rgb(cell.bg, BACKGROUND));
    if cell.modifier.contains(Modifier::REVERSED) {
        (front, back) = (back, front);
    }
    (front, back, cell.modifier.contains(Modifier::BOLD))
}

fn run(out: &mut String, (front, back, bold): Look, text: &str, (column, line): (u16, u16), width: u16) {
    let (x, y) = (MARGIN + f32::from(column) * WIDTH, MARGIN + f32::from(line) * HEIGHT);
    let length = f32::from(width) * WIDTH;
    // Writing to a string cannot fail.
    if back != BACKGROUND {
        let colour = hex(back);
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{HEIGHT}\" fill=\"{colour}\"/>"
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (colour, weight) = (hex(front), if bold { " font-weight=\"bold\"" } else { "" });
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{length:.1}\" fill=\"{colour}\"{weight} xml:space=\"preserve\">{text}</text>",
        y + HEIGHT * 0.75
    );
}

fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn rgb(colour: Color, otherwise: [u8; 3]) -> [u8; 3] {
    match colour {
        Color::Indexed(index) => indexed(index),
        Color::Rgb(red, green, blue) => [red, green, blue],
        Color::Reset => otherwise,
        Color::Black => SIXTEEN[0],
        Color::Red => SIXTEEN[1],
        Color::Green => SIXTEEN[2],
        Color::Yellow => SIXTEEN[3],
        Color::Blue => SIXTEEN[4],
        Color::Magenta => SIXTEEN[5],
        Color::Cyan => SIXTEEN[6],
        Color::Gray => SIXTEEN[7],
        Color::DarkGray => SIXTEEN[8],
        Color::LightRed => SIXTEEN[9],
        Color::LightGreen => SIXTEEN[10],
        Color::LightYellow => SIXTEEN[11],
        Color::LightBlue => SIXTEEN[12],
        Color::LightMagenta => SIXTEEN[13],
        Color::LightCyan => SIXTEEN[14],
        Color::White => SIXTEEN[15],
    }
}

/// xterm's 256 colours: sixteen, a cube of six by six by six, and greys.
fn indexed(index: u8) -> [u8; 3] {
    let step = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
    match index {
        0..16 => SIXTEEN[usize::from(index)],
        16..232 => {
            let cube = index - 16;
            [step(cube / 36), step(cube / 6 % 6), step(cube % 6)]
        }
        _ => [8 + 10 * (index - 232); 3],
    }
}

#[cfg(test)]
mod tests {
    use super::{indexed, svg};
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;
    use ratatui::style::{Color, Style};

    #[test]
    fn a_run_of_one_style_is_one_text() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 10, 1));
        buffer.set_string(0, 0, "a<b", Style::new());
        buffer.set_string(4, 0, "hot", Style::new().bg(Color::Indexed(202)).fg(Color::Black));
        let picture = svg(&buffer);
        assert_eq!(picture.matches("<text").count(), 2);
        assert!(picture.contains(">a&lt;b "));
        assert!(picture.contains("fill=\"#ff5f00\""));
    }

    #[test]
    fn the_colours_are_xterms() {
        assert_eq!(indexed(17), [0, 0, 95]);
        assert_eq!(indexed(202), [255, 95, 0]);
        assert_eq!(indexed(255), [238, 238, 238]);
    }
}
