//! `docs/guard.md` has the tables exactly as they are tested.

use crate::checks::{Attack, Check, checks};
use crate::denied::{self, DESTINATIONS};
use crate::honest::{KINDS, REFUSED, Refused};
use crate::ways::{COUNT, NATIVE, WAYS, Way, Who};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const END: &str = "<!-- end -->";

#[test]
fn the_tables_in_the_docs_are_those_tested() {
    let checks = checks();
    let tables = [
        ("checks", table(&checks)),
        ("differences", differences(&checks)),
        ("honest", honest()),
        ("refused", refused()),
        ("ways", ways(|way| way.option.is_none())),
        ("ways of distributions", ways(|way| way.option.is_some())),
    ];
    hold("docs/guard.md", &tables);
    hold("docs/egress.md", &[("destinations", destinations()), ("allowed", allowed())]);
    hold("SECURITY.md", &[("counts", counts(&checks))]);
}

/// Compares a document with what should be between its marks, or writes that.
fn hold(name: &str, tables: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let old = fs::read_to_string(&path).unwrap();
    let mut new = old.clone();
    for (name, table) in tables {
        replace(&mut new, name, table);
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, new).unwrap();
    } else {
        assert_eq!(old, new, "UPDATE=1 cargo test -p netns --test corpus docs");
    }
}

fn counts(checks: &[Check]) -> String {
    let attacks: usize = checks.iter().map(|check| check.attacks.len()).sum();
    let [small, large] = [true, false].map(|small| {
        let ways = WAYS.iter().chain(NATIVE).filter(move |way| way.option.is_none() == small);
        let by_users = ways.clone().filter(|way| way.who == Who::User).count();
        (ways.count(), by_users)
    });
    format!(
        "By `cargo test -p netns --test corpus`, with frames of scapy: {attacks} frames that break {} checks of Incus, libvirt, \
         OVN and\nNeutron, and {} honest neighbours; {} kinds of odd but legal traffic of real programs and the kernel; {} \
         ways out of a\nsandbox, {} of them by root of a user namespace, and {} more (`-- --include-ignored`) on kernels of \
         distributions; tables\nthat 20,000 frames would fill.\n",
        checks.len(),
        checks.len(),
        KINDS.len(),
        small.0,
        small.1,
        large.0,
    )
}

/// Puts `table` between the marks.
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

fn refused() -> String {
    let mut table = String::from("| what | reason | unless |\n| --- | --- | --- |\n");
    for Refused { name, reason, unless, .. } in REFUSED {
        let _ = writeln!(table, "| {name} | `{reason}` | {unless} |");
    }
    table
}

/// Every way is tried with as many lies, and the tests hold these numbers.
fn ways(which: impl Fn(&&Way) -> bool) -> String {
    let mut table = String::from(
        "| way | who can | arrived, observed | arrived, enforced | counted |\n| --- | --- | ---: | ---: | --- |\n",
    );
    for Way { name, who, reason, other, .. } in WAYS.iter().chain(NATIVE).filter(which) {
        let other = other.map_or_else(String::new, |other| format!(" or `{other}`"));
        let who = match who {
            Who::User => "root of a user namespace",
            Who::Root => "the host's root inside",
        };
        let _ = writeln!(table, "| {name} | {who} | {COUNT} | 0 | {COUNT} `{reason}`{other} |");
    }
    table
}

/// As with the ways out.
fn destinations() -> String {
    let mut table = String::from(
        "| way to a destination that is refused | arrived, unguarded | arrived, guarded | counted |\n\
         | --- | ---: | ---: | --- |\n",
    );
    for way in DESTINATIONS {
        let Some(reason) = way.reason else { continue };
        let _ = writeln!(table, "| {} | {} | 0 | {} `{reason}` |", way.name, denied::COUNT, way.counted());
    }
    table
}

fn allowed() -> String {
    let names: Vec<&str> =
        DESTINATIONS.iter().filter(|way| way.reason.is_none()).map(|way| way.name).collect();
    format!("{}.\n", names.join("; "))
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
