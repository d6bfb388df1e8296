//! The words of `ip` and `bridge`: iproute2 runs every line of `words.txt` in one host, netns runs it in another, and
//! after each line the two hosts are alike.
//!
//! The rule for documents, which was written before the first comparison: each key that netns prints has iproute2's
//! value; keys that only one of them prints are listed in `keys_lists.rs` (counters, and what the kernel chooses at
//! random, are not compared here). Lists have the same number of entries, in any order.

use crate::bare;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::{fs, thread};
use tests::{in_host, oracle};

const LINES: &str = include_str!("words.txt");

/// How a line is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    /// Run by iproute2 in both hosts.
    Setup,
    Change,
    Show,
    /// iproute2 accepts it, and we do not.
    Refused,
    /// We accept it, and iproute2 does not, or does less.
    Ours,
}

struct Scene {
    name: &'static str,
    lines: Vec<(Mark, &'static str)>,
}

fn scenes() -> Vec<Scene> {
    let mut scenes: Vec<Scene> = Vec::new();
    for line in LINES.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("== ") {
            scenes.push(Scene { name, lines: Vec::new() });
            continue;
        }
        let (mark, line) = match line.split_once(' ') {
            Some(("+", rest)) => (Mark::Setup, rest),
            Some(("?", rest)) => (Mark::Show, rest),
            Some(("!", rest)) => (Mark::Refused, rest),
            Some(("%", rest)) => (Mark::Ours, rest),
            _ => (Mark::Change, line),
        };
        scenes.last_mut().expect("a scene").lines.push((mark, line));
    }
    scenes
}

/// A line's words; text between two `'` is one word.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The line as iproute2 takes it: there, `bridge` is a program of its own.
fn theirs(line: &str, options: &[&str]) -> Command {
    let words = split(line);
    let (tool, rest) = match words.first().map(String::as_str) {
        Some("bridge") => ("bridge", &words[1..]),
        _ => ("ip", &words[..]),
    };
    let mut command = oracle(tool);
    command.args(options).args(rest).stdin(Stdio::null());
    command
}

/// The same for ours, which is one program.
fn ours(line: &str, options: &[&str]) -> Command {
    let mut command = bare();
    command.args(options).args(split(line)).stdin(Stdio::null());
    command
}

/// What a line did, and the state of the host afterwards.
struct Step {
    code: Option<i32>,
    document: Option<Value>,
    message: String,
    state: State,
}

/// What exists, by kind.
type State = BTreeMap<&'static str, Vec<String>>;

/// With details and counters, so that both print as much as they can.
const SHOWN: [&str; 3] = ["-d", "-s", "-j"];

fn run_scene(scene: &Scene, command: fn(&str, &[&str]) -> Command) -> Vec<Step> {
    let steps = Mutex::new(Vec::new());
    let has_bridges = scene.lines.iter().any(|(_, line)| line.contains("bridge") || line.contains("vxlan"));
    in_host(|_| {
        // What depends on a random MAC address, or comes in its own time, would differ between the two.
        for (setting, value) in
            [("addr_gen_mode", "1"), ("accept_dad", "0"), ("dad_transmits", "0"), ("accept_ra", "0")]
        {
            for which in ["default", "all"] {
                let path = format!("/proc/sys/net/ipv6/conf/{which}/{setting}");
                let _ = fs::write(path, value);
            }
        }
        for (mark, line) in &scene.lines {
            let options: &[&str] = if *mark == Mark::Show { &SHOWN } else { &[] };
            let made = if *mark == Mark::Setup { theirs(line, options) } else { command(line, options) };
            let Output { status, stdout, stderr } = { made }.output().expect("it starts");
            let message = String::from_utf8_lossy(&stderr).into_owned();
            assert!(*mark != Mark::Setup || status.success(), "{line}: {message}");
            let text = String::from_utf8_lossy(&stdout);
            let text = if text.trim().is_empty() { "[]" } else { text.trim() };
            // `ip neigh get` and `ip netns list-id nsid N` print text whatever format is asked for.
            let document =
                (*mark == Mark::Show && status.success()).then(|| serde_json::from_str(text).ok()).flatten();
            let state = if *mark == Mark::Show { State::new() } else { state(has_bridges) };
            steps.lock().expect("one thread").push(Step { code: status.code(), document, message, state });
        }
    });
    steps.into_inner().expect("one thread")
}

/// The host and its named namespaces, as iproute2 sees them.
fn state(has_bridges: bool) -> State {
    let mut names: Vec<String> = fs::read_dir("/run/netns")
        .map(|folder| {
            folder.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    names.sort();
    let mut state = State::from([("namespaces", names.clone())]);
    for space in std::iter::once(None).chain(names.iter().map(|name| Some(name.as_str()))) {
        let lists = ["addr show", "route show table all", "neigh show nud all", "neigh show proxy"];
        list("ip", space, &lists, &mut state);
        if has_bridges {
            list("bridge", space, &["link show", "fdb show"], &mut state);
        }
    }
    state
}

/// Lists, each with its entries in a fixed order, without what the kernel chooses.
fn list(tool: &'static str, space: Option<&str>, lists: &[&'static str], state: &mut State) {
    let mut command = oracle(tool);
    command.args(["-d", "-j"]).args(space.map(|space| ["-n", space]).into_iter().flatten());
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(lists.join("\n").as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let mut documents = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    for list in lists {
        // A name may have lost its namespace.
        let Some(document) = documents.next() else { break };
        let document = document.expect("JSON");
        let entries = state.entry(list).or_default();
        for entry in document.as_array().expect("a list") {
            let entry = format!("{} {}", space.unwrap_or_default(), calm(entry, ""));
            if !is_late(&entry) && !entry.ends_with(" {}") {
                entries.push(entry);
            }
        }
        entries.sort();
    }
}

/// Where the lists of `docs/ip-words.md` begin and end.
const MARKS: [&str; 2] = ["<!-- made by words.rs -->", "<!-- end -->"];

/// Compares the page with what was found, or with `UPDATE` writes it.
fn check_page(count: usize, both: usize, refused: &[(&str, String)], more: &[&str]) -> Option<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ip-words.md");
    let page = fs::read_to_string(path).expect("the page");
    let (start, rest) = page.split_once(MARKS[0]).expect("a mark");
    let (_, end) = rest.split_once(MARKS[1]).expect("a mark");
    let mut found = format!(
        "\nOf {count} lines both accept {both} (Linux 6.18 of the development machine). iproute2 accepts {}",
        refused.len()
    );
    found += " that netns refuses:\n\n| line | netns |\n| --- | --- |\n";
    for (line, message) in refused {
        let message = message.trim_start_matches("error: ").split("; expected").next().unwrap_or_default();
        let _ = writeln!(found, "| `{line}` | {message} |");
    }
    found += "\nThese do more here:\n\n";
    for line in more {
        let _ = writeln!(found, "- `{line}`");
    }
    let wanted = format!("{start}{}{found}{}{end}", MARKS[0], MARKS[1]);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, &wanted).expect("the page is written");
    }
    // How many lines both accept depends on the kinds of links that the kernel knows.
    let lists = |page: &str| page.split_once("| line |").map(|(_, lists)| lists.to_owned());
    (lists(&fs::read_to_string(path).expect("the page")) != lists(&wanted))
        .then(|| "docs/ip-words.md is not what was found; UPDATE=1 writes it".to_owned())
}

/// What the kernel does in its own time: multicast groups that links join, neighbours that stand for them, and the
/// routes of IPv6 addresses.
fn is_late(entry: &str) -> bool {
    let groups = [r#""dst":"ff0"#, r#""dst":"224."#, r#""mac":"33:33:"#, r#""mac":"01:00:5e"#];
    let is_group = groups.iter().any(|mark| entry.contains(mark));
    let is_route = entry.contains(r#""protocol":"kernel""#) && entry.contains("::");
    is_route || is_group && (entry.contains("NOARP") || entry.contains("self"))
}

/// A value without what nobody chose: MAC addresses that are in no line, identifiers derived from them, counters, and
/// seconds.
fn calm(value: &Value, key: &str) -> Value {
    match value {
        Value::Object(object) => {
            let random = [
                "bridge_id",
                "root_id",
                "designated_root",
                "designated_bridge",
                "permaddr",
                "stats64",
                "stats",
            ];
            let timers = [
                "hello_timer",
                "tcn_timer",
                "topology_change_timer",
                "gc_timer",
                "hold_timer",
                "message_age_timer",
                "forward_delay_timer",
                "used",
                "updated",
                "confirmed",
                "probes",
                "refcnt",
                "users",
                "age",
            ];
            object
                .iter()
                .filter(|(key, _)| !random.contains(&key.as_str()) && !timers.contains(&key.as_str()))
                // Duplicate detection ends in its own time.
                .filter(|(key, _)| !["tentative", "operstate"].contains(&key.as_str()))
                .map(|(key, value)| (key.clone(), calm(value, key)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Value::Array(list) => {
            // Carriers come and go a little later.
            let late = ["NO-CARRIER", "LOWER_UP", "M-DOWN", "linkdown"];
            let list = list.iter().filter(|value| !value.as_str().is_some_and(|text| late.contains(&text)));
            let mut list: Vec<Value> = list.map(|value| calm(value, key)).collect();
            // An entry that a filter left out is an empty object.
            list.retain(|value| value.as_object().is_none_or(|object| !object.is_empty()));
            if list.iter().any(Value::is_object) {
                list.sort_by_key(Value::to_string);
            }
            list.into()
        }
        Value::String(text) if is_random_mac(text) => "random".into(),
        Value::Number(number) if ["valid_life_time", "preferred_life_time", "expires"].contains(&key) => {
            let seconds = number.as_u64().unwrap_or_default();
            if seconds == u64::from(u32::MAX) { seconds.into() } else { (seconds.div_ceil(500) * 500).into() }
        }
        other => other.clone(),
    }
}

fn is_random_mac(text: &str) -> bool {
    let is_mac = text.len() == 17 && text.bytes().filter(|byte| *byte == b':').count() == 5;
    is_mac
        && !text.starts_with("33:33:")
        && !text.starts_with("01:00:5e")
        && !text.starts_with("ff:ff:ff")
        && !LINES.contains(text)
        && text != "00:00:00:00:00:00"
}

/// Reports every key of ours that theirs lacks or has with another value; lists of objects may be in any order.
fn is_part_of(ours: &Value, theirs: &Value, path: &str, faults: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one {
                let inside = format!("{path}.{key}");
                match other.get(key) {
                    Some(other) => is_part_of(value, other, &inside, faults),
                    None if is_listed(&inside) => {}
                    None => faults.push(format!("{inside} is ours alone: {value}")),
                }
            }
        }
        (Value::Array(one), Value::Array(other)) if one.iter().chain(other).any(Value::is_object) => {
            if one.len() != other.len() {
                faults.push(format!(
                    "{path}: {} entries, theirs {}: {ours} {theirs}",
                    one.len(),
                    other.len()
                ));
                return;
            }
            let mut left: Vec<&Value> = other.iter().collect();
            for value in one {
                let mut best: Option<(usize, Vec<String>)> = None;
                for (at, candidate) in left.iter().enumerate() {
                    let mut found = Vec::new();
                    is_part_of(value, candidate, path, &mut found);
                    if best.as_ref().is_none_or(|(_, best)| found.len() < best.len()) {
                        best = Some((at, found));
                    }
                }
                let (at, found) = best.expect("as many");
                faults.extend(found);
                left.remove(at);
            }
        }
        _ if ours != theirs => faults.push(format!("{path}: {ours}, theirs {theirs}")),
        _ => {}
    }
}

/// What iproute2 6.1 lacks, or prints elsewhere: `keys_lists.rs` has the reasons.
fn is_listed(path: &str) -> bool {
    let key = path.rsplit('.').next().unwrap_or_default();
    [
        "owner",
        "owner_group",
        "mab",
        "neigh_vlan_suppress",
        "fdb_max_learned",
        "proxy_arp",
        "proxy_arp_wifi",
        "group_fwd_mask",
        "linkmode",
        "inet6_addr_gen_mode",
        "link_index",
        "link_netnsid",
        "num_tx_queues",
        "num_rx_queues",
    ]
    .contains(&key)
}

/// `bridge link` does not look where a port's other end is.
fn honest(line: &str, document: &Value) -> Value {
    let mut document = calm(document, "");
    if let Some(list) = document.as_array_mut() {
        list.retain(|entry| !is_late(&entry.to_string()));
        // An IPv6 list of links lacks some of what the others have.
        if line.contains("-6") || line.contains("inet6") {
            for entry in list.iter_mut().filter_map(Value::as_object_mut) {
                entry.retain(|key, _| !["broadcast", "group", "qdisc"].contains(&key.as_str()));
            }
        }
        if line.contains("link") {
            for entry in list.iter_mut() {
                if let Some(flags) = entry.get_mut("flags").and_then(Value::as_array_mut) {
                    flags.retain(|flag| flag != "M-DOWN");
                }
            }
        }
    }
    document
}

#[test]
fn each_line_does_what_iproute2_does_or_is_an_error() {
    tests::needs_tun();
    let (mut faults, mut both, mut count) = (Vec::new(), 0, 0);
    let (mut refused, mut more) = (Vec::new(), Vec::new());
    for scene in scenes() {
        let (theirs, ours) = thread::scope(|scope| {
            let one = scope.spawn(|| run_scene(&scene, theirs));
            let other = scope.spawn(|| run_scene(&scene, ours));
            (one.join().expect("iproute2's"), other.join().expect("ours"))
        });
        if theirs.is_empty() && !scene.lines.is_empty() {
            // Skipped, without privilege.
            return;
        }
        let (mut before, mut is_comparable) = (None, true);
        let mut lines = scene.lines.iter().zip(theirs.iter().zip(&ours));
        for ((mark, line), (theirs, ours)) in &mut lines {
            let mut fault = |what: String| faults.push(format!("[{}] {line}: {what}", scene.name));
            if *mark == Mark::Setup {
                before = Some(&ours.state);
                continue;
            }
            count += 1;
            let (accepted, taken) = (theirs.code == Some(0), ours.code == Some(0));
            both += usize::from(accepted && taken);
            let is_right = match mark {
                // This kernel may lack it.
                Mark::Refused => !taken && (accepted || theirs.message.contains("not supported")),
                Mark::Ours => taken || theirs.code != ours.code,
                _ => accepted == taken && (!line.contains("exit") || theirs.code == ours.code),
            };
            if !is_right {
                fault(format!(
                    "{:?} {} and ours {:?} {}",
                    theirs.code, theirs.message, ours.code, ours.message
                ));
            }
            if !taken && !matches!(ours.code, Some(1 | 2)) && !line.contains(" exec ") {
                fault(format!("exit code {:?}", ours.code));
            }
            if !taken && !line.contains(" exec ") && !ours.message.starts_with("error: ") {
                fault(format!("its message is {:?}", ours.message));
            }
            match mark {
                Mark::Refused => {
                    refused.push((*line, ours.message.lines().next().unwrap_or_default().to_owned()));
                }
                Mark::Ours => more.push(*line),
                _ => {}
            }
            if let (Some(one), Some(other)) = (&ours.document, &theirs.document) {
                let mut found = Vec::new();
                is_part_of(&honest(line, one), &honest(line, other), "", &mut found);
                found.into_iter().take(3).for_each(&mut fault);
            }
            if *mark == Mark::Refused && before.is_some_and(|before| *before != ours.state) {
                fault("it was refused, and something changed".to_owned());
            }
            before = Some(&ours.state).filter(|state| !state.is_empty());
            // After a line that only one of the two accepts, the hosts can no longer be compared.
            is_comparable &= !matches!(mark, Mark::Refused | Mark::Ours);
            if is_comparable && theirs.state != ours.state {
                let mut text = String::new();
                for (what, entries) in &theirs.state {
                    let (one, other): (BTreeSet<&String>, BTreeSet<&String>) =
                        (entries.iter().collect(), ours.state.get(what).into_iter().flatten().collect());
                    for entry in one.difference(&other) {
                        let _ = writeln!(text, "\n  theirs {what}: {entry}");
                    }
                    for entry in other.difference(&one) {
                        let _ = writeln!(text, "\n  ours   {what}: {entry}");
                    }
                }
                fault(format!("the hosts differ:{text}"));
                break;
            }
        }
    }
    faults.extend(check_page(count, both, &refused, &more));
    let _ =
        writeln!(std::io::stdout(), "{count} lines, {both} accepted by both, {} refused here", refused.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(count >= 400 && both >= 300, "{count} lines, {both} accepted by both");
}
