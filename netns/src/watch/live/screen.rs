//! The terminal, taken and given back.

use crate::failure::Failure;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{DefaultTerminal, Frame, Terminal};
use std::io::{self, stdout};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal is taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal in raw mode, on its alternate screen, until this is dropped or a thread panics; then it is given back
/// before the panic's message is printed.
///
/// `ratatui::init` does the same, but fails where the terminal is gone: it reports that with `eprintln!`, which panics
/// since stderr is gone too. A panic in its hook ends the process, with nothing taken down.
#[derive(Debug)]
pub(super) struct Screen {
    /// Never dropped, since its `drop` does so too.
    terminal: ManuallyDrop<DefaultTerminal>,
}

impl Screen {
    pub(super) fn open() -> Result<Self, Failure> {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            hook(panic);
        }));
        let terminal = take().map_err(|error| {
            give_back();
            Failure::Kernel(format!("take the terminal: {error}; try --plain"))
        })?;
        Ok(Self { terminal: ManuallyDrop::new(terminal) })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        if !TAKEN.load(Ordering::Relaxed) {
            return Err(Failure::Kernel("a thread panicked, and the terminal was given back".to_owned()));
        }
        self.terminal.draw(draw)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<DefaultTerminal> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::Relaxed);
    execute!(stdout(), EnterAlternateScreen)?;
    Terminal::new(CrosstermBackend::new(stdout()))
}

/// Gives the terminal back, once: leaving the alternate screen a second time puts the cursor back where it was before the
/// first, and later output overwrites a panic's message (DECRST 1049 in xterm and tmux).
fn give_back() {
    if TAKEN.swap(false, Ordering::Relaxed) {
        // A terminal that is gone needs nothing back.
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    }
}
