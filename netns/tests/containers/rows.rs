//! The first table: where a command runs, and what it answers there.

use crate::answers::Answer;
use crate::world::World;
use std::fmt::Write;

/// What is tried in each row, and the script's name for it.
pub(crate) const COMMANDS: [(&str, &str); 5] = [
    ("run", "`run`"),
    ("up", "`up`"),
    ("observe", "`observe`"),
    ("netns", "`netns add`"),
    ("create", "`Network::create`"),
];

/// A place to run commands in, and what the five of them answer there.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The name of the place.
    pub(crate) name: &'static str,
    /// How to enter it, for the reader of the table.
    pub(crate) entered: &'static str,
    /// Exit code, and all of standard error.
    pub(crate) expected: [Answer; COMMANDS.len()],
}

/// Compares each row with what happens when `enter` runs the script.
///
/// # Panics
/// If something else happens; the message has the rows as they should be written.
pub(crate) fn hold<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
    world: &mut World,
    mut enter: impl FnMut(usize, &World) -> Vec<String>,
) {
    let mut differences = String::new();
    for (number, row) in rows.into_iter().enumerate() {
        let words = enter(number, world);
        let outcomes = world.enter(&words);
        let happened: Vec<(i32, &str)> =
            outcomes.iter().map(|outcome| (outcome.code, outcome.said.as_str())).collect();
        if happened != row.expected {
            let _ = writeln!(differences, "{}\n        expected: [", row.name);
            for ((_, command), answer) in COMMANDS.iter().zip(&happened) {
                let _ = writeln!(differences, "            // {command}\n            {answer:?},");
            }
            let _ = writeln!(differences, "        ],\n{}", world.log());
        }
    }
    assert!(differences.is_empty(), "not what the table says: {differences}");
}
