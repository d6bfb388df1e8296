//! The panes of the live view that options add: destinations, scopes, limits.

use tests::{Terminal, in_host};

const NETNS: &str = env!("CARGO_BIN_EXE_netns");

/// Presses a key and waits until all of these are shown, in no line that is longer than the terminal is wide.
fn shows(terminal: &Terminal, key: &str, width: usize, texts: &[&str]) {
    terminal.press(&[key]);
    let what = format!("{key} at {width}: {texts:?}");
    let is_there = |screen: &str| {
        texts.iter().all(|text| screen.contains(text))
            && screen.lines().all(|line| line.chars().count() <= width)
    };
    terminal.shows(&what, is_there);
    // Closes the pane, so that the next one opens anew.
    terminal.press(&[key]);
    terminal.shows("no pane", |screen| !screen.contains(texts[0]));
}

#[test]
fn destinations_scopes_and_limits_have_panes_at_every_width() {
    in_host(|_| {
        let terminal = Terminal::open();
        // A quota that is soon used up.
        let options = "--namespaces 2 --interval 0.2 --verdicts --scopes --limit in=1gbit,quota=2mb";
        terminal.press(&[&format!("clear; {NETNS} run {options}; echo ended with $?"), "Enter"]);
        terminal.shows("the ports", |screen| screen.contains(" br0  2 ports"));
        for (width, height) in [(80, 24), (40, 24), (200, 50)] {
            terminal.resize(width, height);
            let wide = usize::from(width);
            let quota = if width == 40 { "in=" } else { "in=1gbit,burst=31250000b,quota=2mb" };
            shows(&terminal, "d", wide, &[" by destination ", "verdict", "passed", "10.1.1.2 "]);
            let ways = if width == 40 { ["sandb", "host"] } else { ["    out", "     in"] };
            shows(&terminal, "s", wide, &[" bytes by scope", "host", ways[0], ways[1], "ns1 "]);
            shows(&terminal, "l", wide, &[" limits: packets over them", "left", quota]);
        }
        terminal.resize(80, 24);
        // Frames over the quota have destinations, too.
        shows(&terminal, "d", 80, &[" by destination ", "over-quota"]);
        shows(&terminal, "Enter", 80, &["limit     in=1gbit", "over it   ", " bytes are used, ", " left"]);
        terminal.press(&["q"]);
        terminal.shows("the end", |screen| screen.contains("ended with"));
        terminal.assert_given_back();
    });
}

#[test]
fn a_pane_without_data_names_the_option_that_counts_it() {
    in_host(|_| {
        let terminal = Terminal::open();
        terminal.press(&[
            &format!("clear; {NETNS} run --namespaces 2 --interval 0.2; echo ended with $?"),
            "Enter",
        ]);
        terminal.shows("the ports", |screen| screen.contains(" br0  2 ports"));
        shows(&terminal, "d", 80, &["that takes --verdicts"]);
        shows(&terminal, "s", 80, &["that takes --scopes"]);
        shows(&terminal, "l", 80, &["no port has limits"]);
        terminal.press(&["q"]);
        terminal.shows("the end", |screen| screen.contains("ended with 0"));
    });
}
