//! The live view in a real terminal, where the program gives no occasion: it panics.

use super::live;
use crate::failure::Failure;
use crate::signals::Stop;
use crate::watch::arguments::WatchArguments;
use crate::watch::{Source, Violation};
use clap::Parser;
use netns_ebpf::{Mode, PortChange, PortIdentity, Reading};
use std::path::Path;
use std::time::Duration;
use tests::{Terminal, in_host};

/// Set for the process that panics: this test, started again in a terminal.
const CHILD: &str = "NETNS_TEST_PANIC";
/// From when there is this file on.
const SIGN: &str = "/run/panic";

/// A bridge without ports, until reading it panics.
struct Brittle;

impl Source for Brittle {
    fn network(&self) -> &'static str {
        "brittle"
    }

    fn changes(&mut self, _: Duration) -> Result<Vec<PortChange>, Failure> {
        Ok(Vec::new())
    }

    fn read(&mut self) -> Result<Reading, Failure> {
        assert!(!Path::new(SIGN).exists(), "it broke");
        Ok(Reading::of_kernel(Vec::new()))
    }

    fn violations(&mut self) -> Result<Vec<Violation>, Failure> {
        Ok(Vec::new())
    }

    fn addresses(&mut self, _: &PortIdentity) -> Vec<String> {
        Vec::new()
    }

    fn policy(&mut self, _: &PortIdentity) -> Option<(&'static str, Mode)> {
        None
    }
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    watch: WatchArguments,
}

/// Watches until it panics.
fn panic_in_the_view() {
    let arguments = Arguments::parse_from(["", "--interval", "0.05"]);
    live(&mut Brittle, &arguments.watch, &Stop::on_signals().unwrap(), |_, _, _| {}).unwrap();
}

#[test]
fn a_panic_gives_the_terminal_back_and_its_message_stays() {
    if std::env::var_os(CHILD).is_some() {
        return panic_in_the_view();
    }
    in_host(|_| {
        let terminal = Terminal::open();
        let program = std::env::current_exe().unwrap();
        // As `cargo test` names it.
        let name = concat!(module_path!(), "::a_panic_gives_the_terminal_back_and_its_message_stays");
        let name = name.split_once("::").unwrap().1;
        let command = format!("{} --exact {name} --nocapture", program.display());
        let command = format!("clear; {CHILD}=1 RUST_BACKTRACE=0 {command}; echo ended with $?");
        terminal.press(&[&command, "Enter"]);
        terminal.shows("the view", |screen| screen.contains(" brittle  0 ports "));
        assert!(terminal.is_taken());
        std::fs::write(SIGN, "").unwrap();
        let screen = terminal.shows("the end", |screen| screen.contains("ended with 101"));
        for text in ["running 1 test", " panicked at ", "src/watch/live/tests.rs:", "\nit broke\n"] {
            assert!(screen.contains(text), "{text:?} is not in\n{screen}");
        }
        terminal.assert_given_back();
    });
}
