//! The live view: what passes, on a terminal, with keys.

mod app;
mod column;
mod draw;
mod history;
mod screen;
mod theme;

#[cfg(test)]
mod tests;

use super::{Losses, Source, TICK, change};
use crate::failure::Failure;
use crate::messages::Keep;
use crate::signals::Stop;
use crate::watch::arguments::WatchArguments;
use netns_ebpf::{Mode, PortChange, Reading};
use ratatui::crossterm::event::{self, Event};
use screen::Screen;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

pub(super) use app::{App, Pane};
pub(super) use draw::draw;
pub(super) use theme::Theme;

/// Whether there are a terminal to draw on and a keyboard.
pub(super) fn is_possible() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdout().is_terminal() && io::stdin().is_terminal() && !dumb
}

/// Keys and sizes, as they come. A thread of its own reads them and ends with the process: when the terminal has gone,
/// crossterm reads for ever, and the signal that reports it would go unnoticed.
fn events() -> Result<Receiver<Event>, Failure> {
    let (sender, receiver) = mpsc::channel();
    let started = thread::Builder::new().name("keys".to_owned()).spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(event).is_err() {
                break;
            }
        }
    });
    match started {
        Ok(_) => Ok(receiver),
        Err(error) => Err(Failure::Kernel(format!("show the live view: start thread: {error}"))),
    }
}

/// What a port may send, and what happens to the rest.
fn in_words((rules, mode): (&'static str, Mode)) -> String {
    let fate = match mode {
        Mode::Observe => "passes",
        Mode::Enforce => "is dropped",
    };
    format!("{rules}; the rest is counted and {fate}")
}

/// Shows the ports until the time is up, a key or a signal ends it, or the bridge goes. The terminal is given back on
/// every path, a panic included.
pub(super) fn live(
    source: &mut impl Source,
    arguments: &WatchArguments,
    stop: &Stop,
    mut publish: impl FnMut(&str, &Arc<Reading>, Losses),
) -> Result<(), Failure> {
    let messages = Keep::begin();
    let mut screen = Screen::open()?;
    let events = events()?;
    let mut app = App::new(source.network(), Theme::from_environment());
    let started = Instant::now();
    let end = arguments.duration.map(|time| started + time);
    let mut next = started;
    let mut dirty = true;
    while !stop.requested() && !app.is_over() && end.is_none_or(|end| Instant::now() < end) {
        for news in source.changes(Duration::ZERO)? {
            change::warn(&news);
            if matches!(news, PortChange::BridgeGone) {
                return Ok(());
            }
        }
        let now = Instant::now();
        if now >= next {
            // A reading that took too long is not made up for.
            next = (next + arguments.interval).max(now);
            let reading = Arc::new(source.read()?);
            if app.network != source.network() {
                source.network().clone_into(&mut app.network);
            }
            publish(source.network(), &reading, source.losses());
            app.add_violations(source.violations()?);
            app.update(reading);
            dirty = true;
        }
        if dirty {
            if let Some(port) = app.shown_port() {
                app.set_port(source.addresses(&port), source.policy(&port).map(in_words));
            }
            app.set_message(messages.last());
            screen.draw(|frame| draw(&mut app, frame))?;
            dirty = false;
        }
        let mut wait = next.saturating_duration_since(Instant::now()).min(TICK);
        loop {
            match events.recv_timeout(wait) {
                Ok(Event::Key(key)) => app.key(key),
                // A new size is for the next drawing.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => break,
                // The terminal has gone.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            dirty = true;
            wait = Duration::ZERO;
        }
    }
    Ok(())
}
