//! The checks of Incus, libvirt, OVN and Neutron: frames that break each, and an honest frame like them, on a bridge
//! that is observed and on one where policies are enforced.

use crate::everything::{self, COUNTED, HONEST as ALLOWED};
use crate::lab::{self, Sandbox, VICTIM};
use crate::observed::{Observed, Seen};
use crate::sender::{Receiver, Sender, python, untagged};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use tests::in_host;

/// The file with all of them.
const CHECKS: &str = include_str!("checks.toml");
/// How often a frame that should arrive is sent again if it does not.
const TIMES: usize = 3;
/// The verdict of a frame that may be sent.
const HONEST: &str = "honest";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    check: Vec<Check>,
}

/// A check that a project describes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    /// The project.
    pub(crate) by: String,
    pub(crate) name: String,
    /// Where it is described.
    pub(crate) source: String,
    #[serde(default = "host")]
    from: String,
    pub(crate) attacks: Vec<Attack>,
    pub(crate) honest: Honest,
}

/// A frame that breaks a check.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attack {
    pub(crate) what: String,
    frame: String,
    /// A reason's name.
    pub(crate) verdict: String,
    /// Whether the bridge itself forwards no such frame.
    #[serde(default)]
    bridge: bool,
    /// Where the guard decides otherwise than the project, and why.
    pub(crate) why: Option<String>,
}

/// A frame like these that a host may send.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Honest {
    pub(crate) what: String,
    frame: String,
}

fn host() -> String {
    "host".to_owned()
}

/// All checks.
pub(crate) fn checks() -> Vec<Check> {
    toml::from_str::<File>(CHECKS).unwrap_or_else(|error| panic!("checks.toml: {error}")).check
}

/// A frame, and what should become of it.
struct Row<'a> {
    check: &'a Check,
    what: &'a str,
    expression: &'a str,
    verdict: &'a str,
    is_forwarded: bool,
}

fn rows(checks: &[Check]) -> Vec<Row<'_>> {
    checks.iter().flat_map(of).collect()
}

fn of(check: &Check) -> impl Iterator<Item = Row<'_>> {
    let Honest { what, frame } = &check.honest;
    let honest = Row { check, what, expression: frame, verdict: HONEST, is_forwarded: true };
    let attacks = check.attacks.iter().map(move |attack| {
        let Attack { what, frame, verdict, bridge, .. } = attack;
        Row { check, what, expression: frame, verdict, is_forwarded: !bridge }
    });
    attacks.chain([honest])
}

/// Removes what was seen of one frame from everything that was seen.
pub(crate) fn take(seen: &mut Vec<Seen>, port: &str, frame: &[u8]) -> Option<Seen> {
    let text = |frame: &[u8]| {
        frame.iter().take(128).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    let texts = [text(frame), text(&untagged(frame))];
    let place = seen.iter().position(|seen| seen.port == port && texts.contains(&seen.frame))?;
    Some(seen.remove(place))
}

/// Sends every frame; fails with a list of all that had another result than the one written down here.
fn hold(enforces: bool, with_everything: bool) {
    let _ = python();
    lab::make();
    if with_everything {
        // A host that tracks bridged connections reassembles fragments, and so holds back a later one that is alone.
        for family in ["iptables", "ip6tables"] {
            let _ = std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "0");
        }
        everything::begin(ALLOWED);
    }
    let checks = checks();
    let rows = rows(&checks);
    let mut senders = BTreeMap::new();
    let receiver = Receiver::open(VICTIM);
    let mut observed = Observed::start_with(enforces, if with_everything { COUNTED } else { &[] });
    let mut sent = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let sandbox = Sandbox::named(&row.check.from);
        let sender = senders.entry(sandbox.name).or_insert_with(|| Sender::start(sandbox));
        let may_arrive = row.is_forwarded && (row.verdict == HONEST || !enforces);
        let (mut frame, mut arrived, mut times) = (Vec::new(), None, 0);
        // Namespaces share the processors' backlogs, so other work on the machine can drop frames here too.
        while times < TIMES && (arrived.is_none() || (may_arrive && arrived == Some(false))) {
            frame = sender.send(number, row.expression);
            arrived = receiver.hears(&frame, number);
            times += 1;
        }
        assert!(arrived.is_some(), "the marker of {} did not arrive {times} times", row.what);
        sent.push((row, sandbox.port(), frame, arrived == Some(true), times));
    }
    let last = observed.reading();
    let mut seen = observed.violations(0);
    let (count, mut wrong) = (seen.len(), String::new());
    for (row, port, frame, arrived, times) in &sent {
        let found = take(&mut seen, port, frame);
        for _ in 1..*times {
            let _ = take(&mut seen, port, frame);
        }
        let verdict = found.as_ref().map_or(HONEST, |found| &found.reason);
        let dropped = found.as_ref().is_some_and(|found| found.dropped);
        let is_attack = row.verdict != HONEST;
        let expected = (row.verdict, is_attack && enforces, row.is_forwarded && !(is_attack && enforces));
        if (verdict, dropped, *arrived) != expected {
            let Check { by, name, .. } = row.check;
            let _ = writeln!(
                wrong,
                "{by}, {name}: {}: (verdict, dropped, arrived) is {:?}, not {expected:?}\n    {}",
                row.what,
                (verdict, dropped, arrived),
                row.expression
            );
        }
    }
    for Seen { port, reason, frame, .. } in &seen {
        let _ = writeln!(wrong, "nobody was to send this: {port}, {reason}: {frame}");
    }
    assert!(wrong.is_empty(), "{} frames:\n{wrong}", sent.len());
    // Every one was also counted by its reason.
    let ports = last["ports"].as_array().expect("ports");
    let counted = ports.iter().flat_map(|port| port["violations"].as_object().expect("reasons").values());
    assert_eq!(counted.filter_map(serde_json::Value::as_u64).sum::<u64>(), count as u64);
    observed.end();
}

#[test]
fn frames_that_break_a_check_are_counted_and_no_others() {
    in_host(|_| hold(false, false));
}

#[test]
fn frames_that_break_a_check_do_not_arrive_and_all_others_do() {
    in_host(|_| hold(true, false));
}

#[test]
fn frames_that_break_a_check_do_not_arrive_with_everything_on() {
    in_host(|_| hold(true, true));
}

#[test]
fn every_check_is_tried_with_three_frames() {
    let checks = checks();
    for check in &checks {
        assert_eq!(check.attacks.len(), 3, "{}", check.name);
        let names: Vec<&str> = netns_ebpf::packet::Reason::ALL.iter().map(|reason| reason.name()).collect();
        for Attack { verdict, why, what, .. } in &check.attacks {
            let is_reason = names.contains(&verdict.as_str());
            assert!(is_reason || (verdict == HONEST && why.is_some()), "{what}: {verdict}");
        }
    }
    for project in ["Incus", "libvirt", "OVN", "Neutron"] {
        assert!(checks.iter().any(|check| check.by == project), "{project}");
    }
}
