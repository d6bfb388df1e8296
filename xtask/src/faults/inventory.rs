//! The inventory of a host: what a command could leave behind, as lines that can be compared.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the kernel may take to reclaim what was dropped.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// How long to wait, where something may stay, before removing it: what would have gone by itself is removed too.
pub(super) const SOON: Duration = Duration::from_millis(500);

/// What there is, one thing a line.
pub(super) type Inventory = BTreeSet<String>;

/// Takes the inventory until it is as `expected`, or the kernel has had its time.
pub(super) fn settle(expected: &Inventory, limit: Duration) -> Inventory {
    let deadline = Instant::now() + limit;
    loop {
        let now = take();
        if now == *expected || Instant::now() >= deadline {
            return now;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Takes the inventory of the calling process's host.
pub(super) fn take() -> Inventory {
    let mut all = Inventory::new();
    links(&mut all);
    lines(&mut all, "namespace", "ip", &["netns", "list"]);
    lines(&mut all, "route", "ip", &["route", "show", "table", "all"]);
    lines(&mut all, "route6", "ip", &["-6", "route", "show", "proto", "static", "table", "all"]);
    lines(&mut all, "rule", "nft", &["list", "ruleset"]);
    settings(&mut all);
    for file in find("/run") {
        all.insert(format!("file {file}"));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points =
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.starts_with("/run"));
    // A folder that is mounted on itself counts, as do the mounts in it.
    let mut count = std::collections::BTreeMap::<&str, u32>::new();
    points.for_each(|point| *count.entry(point).or_default() += 1);
    all.extend(count.into_iter().map(|(point, count)| format!("mount {point} {count}")));
    all
}

/// The settings of a way out, for the namespace and for each link.
fn settings(all: &mut Inventory) {
    for (family, keys) in [
        ("ipv4", ["forwarding", "route_localnet", "accept_redirects"]),
        ("ipv6", ["forwarding", "force_forwarding", "accept_ra"]),
    ] {
        for link in fs::read_dir(format!("/proc/sys/net/{family}/conf")).into_iter().flatten().flatten() {
            for key in keys {
                if let Ok(value) = fs::read_to_string(link.path().join(key)) {
                    all.insert(format!("sysctl {} {key} {}", link.path().display(), value.trim()));
                }
            }
        }
    }
}

fn links(all: &mut Inventory) {
    let text = output("ip", &["-j", "-d", "address", "show"]);
    let links: Value = serde_json::from_str(&text).unwrap_or_default();
    for link in links.as_array().into_iter().flatten() {
        let word = |key: &str| link[key].as_str().unwrap_or("-").to_owned();
        let name = word("ifname");
        let (group, alias, master) = (word("group"), word("ifalias"), word("master"));
        all.insert(format!("link {name} {} group {group} alias {alias} master {master}", word("address")));
        for address in link["addr_info"].as_array().into_iter().flatten() {
            // The kernel adds these itself, some time after a link is up.
            if address["scope"] != "link" {
                all.insert(format!("address {name} {}/{}", address["local"], address["prefixlen"]));
            }
        }
    }
    // A link has filters at these hooks only with one of these qdiscs. Running `tc` for every link and hook took a quarter of a
    // case's processor time.
    let with_hooks =
        |line: &&str| ["qdisc clsact ", "qdisc ingress "].iter().any(|start| line.starts_with(start));
    for line in output("tc", &["qdisc", "show"]).lines().filter(with_hooks) {
        let Some(name) = line.split_once(" dev ").and_then(|(_, rest)| rest.split(' ').next()) else {
            continue;
        };
        all.insert(format!("qdisc {name} {line}"));
        for hook in ["ingress", "egress"] {
            let filters = output("tc", &["filter", "show", "dev", name, hook]);
            all.extend(filters.lines().map(|line| format!("filter {name} {hook} {line}")));
        }
    }
}

fn lines(all: &mut Inventory, what: &str, program: &str, arguments: &[&str]) {
    // A namespace gets its id, `(id: 3)`, sooner or later.
    let text = output(program, arguments);
    let text = text.lines().map(|line| line.split(" (id").next().unwrap_or(line).trim());
    // The kernel gives a link that is up addresses and routes of its own, some time later.
    let of_link = |line: &&str| line.contains("fe80:") || line.contains("ff00::/8");
    let text = text.filter(|line| !line.is_empty() && !of_link(line));
    // The kernel also updates a link's carrier some time later. A new bridge has another MAC address each time.
    let text = text.map(|line| line.replace(" linkdown", "")).map(|line| match line.split_once("!= 0x") {
        Some((before, after)) if before.ends_with("@ll,0,48 ") => {
            let rest = after.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
            format!("{before}!= MAC{rest}")
        }
        _ => line,
    });
    all.extend(text.map(|line| format!("{what} {line}")));
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// All files below a folder, without looking into mounts on them.
fn find(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path().display().to_string();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(find(&path));
        }
        found.push(path);
    }
    found
}
