//! The terminal, taken and given back.

use crate::failure::Failure;
use ratatui::{DefaultTerminal, Frame};

/// The terminal in raw mode with its other screen, until this is dropped. ratatui's panic hook gives it back before a
/// panic's message is printed.
#[derive(Debug)]
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    pub(super) fn open() -> Result<Self, Failure> {
        let opened = ratatui::try_init();
        opened.map(Self).map_err(|error| Failure::Kernel(format!("take the terminal: {error}; try --plain")))
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        self.0.draw(draw)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}
