//! Colours, or none: <https://no-color.org>.

use ratatui::style::{Color, Modifier, Style};

/// How many steps a heat map has.
pub(in crate::watch) const HEAT: usize = 7;
/// From cold to hot, of the 256 colours that terminals have.
const COLOURS: [u8; HEAT] = [236, 17, 24, 30, 35, 178, 202];
const SHADES: [char; HEAT] = ['·', '░', '░', '▒', '▒', '▓', '█'];

/// How things look.
#[derive(Debug, Clone, Copy)]
pub(in crate::watch) struct Theme {
    colour: bool,
}

impl Theme {
    pub(in crate::watch) const COLOUR: Self = Self { colour: true };
    /// Without colours if `NO_COLOR` is set to anything.
    pub(in crate::watch) fn from_environment() -> Self {
        Self { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn coloured(self, style: Style, colour: Color) -> Style {
        if self.colour { style.fg(colour) } else { style }
    }

    pub(super) fn title(self) -> Style {
        self.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Cyan)
    }

    pub(super) fn heading(self) -> Style {
        self.coloured(Style::new(), Color::Gray)
    }

    pub(super) fn sorted(self) -> Style {
        self.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Yellow)
    }

    pub(super) const fn selected() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn spark(self) -> Style {
        self.coloured(Style::new(), Color::Green)
    }

    pub(super) fn dim(self) -> Style {
        if self.colour { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    pub(super) fn warning(self) -> Style {
        self.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Red)
    }

    /// How hot `value` is relative to the hottest, in steps of equal ratio; `None` for zero.
    pub(super) fn heat(self, value: u64, hottest: u64) -> Option<(Style, char)> {
        let bits = |number: u64| u64::BITS - number.leading_zeros();
        if value == 0 {
            return None;
        }
        // Each step is four times the one below.
        let below = (bits(hottest).saturating_sub(bits(value)) / 2) as usize;
        let step = (HEAT - 1).saturating_sub(below);
        let style = Style::new();
        let style = if self.colour {
            style.bg(Color::Indexed(COLOURS[step])).fg(if step > 4 { Color::Black } else { Color::White })
        } else {
            style
        };
        Some((style, if self.colour { ' ' } else { SHADES[step] }))
    }
}
