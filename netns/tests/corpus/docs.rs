//! `docs/guard.md` has the tables as they are tested.

use crate::checks::{Attack, Check, checks};
use crate::honest::KINDS;
use crate::ways::{COUNT, WAYS, Way, Who};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const END: &str = "<!-- end -->";

#[test]
fn the_docs_have_the_tables_that_are_tested() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guard.md");
    let old = fs::read_to_string(&path).unwrap();
    let mut new = old.clone();
    let checks = checks();
    replace(&mut new, "checks", &table(&checks));
    replace(&mut new, "differences", &differences(&checks));
    replace(&mut new, "honest", &honest());
    replace(&mut new, "ways", &ways(|way| way.option.is_none()));
    replace(&mut new, "ways of distributions", &ways(|way| way.option.is_some()));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, new).unwrap();
    } else {
        assert_eq!(old, new, "UPDATE=1 cargo test -p netns --test corpus docs");
    }
}

/// Puts `table` between the lines that mark its place.
fn replace(text: &mut String, name: &str, table: &str) {
    let begin = format!("<!-- Generated: {name} -->\n");
    let begin = text.find(&begin).expect("the table's place") + begin.len();
    let end = begin + text[begin..].find(END).expect("the table's end");
    text.replace_range(begin..end, table);
}

fn table(checks: &[Check]) -> String {
    let mut table =
        String::from("| project | check | attack: verdict | honest neighbour |\n| --- | --- | --- | --- |\n");
    for Check { by, name, attacks, honest, .. } in checks {
        let attacks: Vec<String> =
            attacks.iter().map(|Attack { what, verdict, .. }| format!("{what}: `{verdict}`")).collect();
        let _ = writeln!(table, "| {by} | {name} | {} | {} |", attacks.join("; "), honest.what);
    }
    table
}

fn differences(checks: &[Check]) -> String {
    let mut list = String::new();
    for Check { by, name, source, attacks, .. } in checks {
        for Attack { what, verdict, why, .. } in attacks {
            if let Some(why) = why {
                let _ = writeln!(list, "- {by}, {name} ({source}); {what}: `{verdict}` here. {why}");
            }
        }
    }
    list
}

/// Every way is tried with as many lies, and the tests hold these numbers.
fn ways(which: impl Fn(&&Way) -> bool) -> String {
    let mut table = String::from(
        "| way | who can | arrived, observed | arrived, enforced | counted |\n| --- | --- | ---: | ---: | --- |\n",
    );
    for Way { name, who, reason, .. } in WAYS.iter().filter(which) {
        let who = match who {
            Who::User => "root of a user namespace",
            Who::Root => "the host's root inside",
        };
        let _ = writeln!(table, "| {name} | {who} | {COUNT} | 0 | {COUNT} `{reason}` |");
    }
    table
}

/// A line for each row of the program: a list in the order in which they are sent.
fn honest() -> String {
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let mut list = format!("{} kinds:\n\n", names.len());
    for name in names {
        let _ = writeln!(list, "- {name}");
    }
    list
}
