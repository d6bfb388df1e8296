//! `docs/containers.md` has the tables exactly as they are tested.

use crate::few::{NEEDS, Needs};
use crate::rows::{COMMANDS, Row};
use crate::{bundle, lxc, podman, unshared};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const END: &str = "<!-- end -->";

#[test]
fn the_tables_in_the_docs_are_those_tested() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/containers.md");
    let old = fs::read_to_string(&path).unwrap();
    let rows = [&bundle::ROWS[..], &podman::ROWS, &lxc::ROWS, &unshared::ROWS].concat();
    let mut sentences = Sentences(Vec::new());
    let mut new = old.clone();
    replace(&mut new, "places", &places(&rows, &mut sentences));
    replace(&mut new, "capabilities", &capabilities(&NEEDS, &mut sentences));
    replace(&mut new, "sentences", &sentences.list());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, new).unwrap();
    } else {
        assert_eq!(old, new, "UPDATE=1 cargo test -p netns --test containers docs");
    }
}

/// Puts `table` between its marks.
fn replace(text: &mut String, name: &str, table: &str) {
    let begin = format!("<!-- Generated: {name} -->\n");
    let begin = text.find(&begin).expect("the table's place") + begin.len();
    let end = begin + text[begin..].find(END).expect("the table's end");
    text.replace_range(begin..end, table);
}

fn places(rows: &[Row], sentences: &mut Sentences) -> String {
    let heads: Vec<&str> = COMMANDS.iter().map(|(_, command)| *command).collect();
    let mut table = format!("| where | {} | entered by |\n", heads.join(" | "));
    let _ = writeln!(table, "| --- |{} --- |", " --- |".repeat(heads.len()));
    for row in rows {
        let _ = write!(table, "| {} |", row.name);
        for (code, said) in row.expected {
            let _ = write!(table, " {code}{} |", sentences.letter(said));
        }
        let _ = writeln!(table, " {} |", row.entered);
    }
    table
}

fn capabilities(needs: &[Needs], sentences: &mut Sentences) -> String {
    let mut table = String::from("| command | needs | without it |\n| --- | --- | --- |\n");
    for Needs { command, without, .. } in needs {
        for (capability, (code, said)) in *without {
            let name = capability.to_uppercase();
            let _ = writeln!(table, "| {command} | `CAP_{name}` | {code}{} |", sentences.letter(said));
        }
    }
    table
}

/// Everything that is printed, once each.
struct Sentences(Vec<&'static str>);

impl Sentences {
    /// The reference to a sentence, in a cell.
    fn letter(&mut self, said: &'static str) -> String {
        if said.is_empty() {
            return String::new();
        }
        let number = self.0.iter().position(|known| *known == said).unwrap_or_else(|| {
            self.0.push(said);
            self.0.len() - 1
        });
        format!(" [{}]", number + 1)
    }

    fn list(&self) -> String {
        let mut list = String::new();
        for (said, number) in self.0.iter().zip(1..) {
            let _ = writeln!(list, "{number}. `{}`", said.replace('\n', "`<br>`"));
        }
        list
    }
}
