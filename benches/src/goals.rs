//! What we aim at, and whether we do.

use crate::compare::Compared;
use crate::report::Row;
use crate::samples::{Samples, micros};
use crate::sandboxes::Kind;

/// By how much the library may exceed the floor.
pub const FLOOR: f64 = 1.05;

/// Another who makes sandboxes: how many times as long as we he is to take, to make one and to take one down.
struct Peer {
    name: &'static str,
    /// Whether his sandboxes have names, and so are to be compared with ours that have.
    named: bool,
    make: Option<f64>,
    reclaim: Option<f64>,
}

const PEERS: [Peer; 6] = [
    Peer { name: "ten ip commands", named: true, make: Some(50.0), reclaim: None },
    Peer { name: "ip -batch", named: true, make: Some(5.0), reclaim: Some(5.0) },
    Peer { name: "rtnetlink, as its examples", named: true, make: Some(15.0), reclaim: None },
    Peer { name: "rtnetlink, tuned", named: false, make: None, reclaim: None },
    Peer { name: "CNI bridge + host-local", named: true, make: Some(10.0), reclaim: Some(30.0) },
    Peer { name: "netavark", named: true, make: Some(5.0), reclaim: Some(50.0) },
];

/// Ours beside a peer, who is to take at least `goal` times as long.
#[must_use]
pub fn against(name: &str, ours_us: f64, peer: &str, peer_us: f64, goal: Option<f64>) -> Row {
    let ratio = peer_us / ours_us;
    Row {
        name: name.to_owned(),
        ours_us,
        peer: Some(peer.to_owned()),
        peer_us: Some(peer_us),
        ratio: Some(ratio),
        ratio_p25: None,
        goal: goal.map(|goal| format!("at least {goal}x")),
        met: goal.map(|goal| ratio >= goal),
        reason: None,
    }
}

/// Ours beside something of which it is to be at most `goal` times.
#[must_use]
pub fn at_most(name: &str, ours_us: f64, of: &str, of_us: f64, goal: Option<f64>) -> Row {
    let ratio = ours_us / of_us;
    Row {
        name: name.to_owned(),
        ours_us,
        peer: Some(of.to_owned()),
        peer_us: Some(of_us),
        ratio: Some(ratio),
        ratio_p25: None,
        goal: goal.map(|goal| format!("at most {goal}x")),
        met: goal.map(|goal| ratio <= goal),
        reason: None,
    }
}

/// Ours beside a peer: see [`against`].
fn samples_against(name: &str, ours: &Samples, peer: &str, theirs: &Samples, goal: Option<f64>) -> Row {
    let ratio_p25 = Some(low(theirs) / low(ours));
    Row { ratio_p25, ..against(name, ours.median_us(), peer, theirs.median_us(), goal) }
}

/// Ours beside the floor: see [`at_most`].
#[must_use]
pub fn samples_at_most(name: &str, ours: &Samples, of: &str, theirs: &Samples, goal: Option<f64>) -> Row {
    let ratio_p25 = Some(low(ours) / low(theirs));
    Row { ratio_p25, ..at_most(name, ours.median_us(), of, theirs.median_us(), goal) }
}

fn low(samples: &Samples) -> f64 {
    micros(samples.quantile(0.25))
}

/// Ours, which is to be at most `goal` microseconds.
#[must_use]
pub fn within(name: &str, ours_us: f64, goal: Option<f64>) -> Row {
    Row {
        name: name.to_owned(),
        ours_us,
        peer: None,
        peer_us: None,
        ratio: None,
        ratio_p25: None,
        goal: goal.map(|goal| format!("at most {goal} us")),
        met: goal.map(|goal| ours_us <= goal),
        reason: None,
    }
}

/// The rows of those who took turns.
#[must_use]
pub fn compared(results: &[Compared]) -> Vec<Row> {
    let find = |name: &str| results.iter().find(|result| result.name == name);
    let (anonymous, named) = (find("netns-core (anonymous)"), find("netns-core (named)"));
    let mut rows = Vec::new();
    let of = |kind: Kind| find(&format!("netns-core ({})", kind.name));
    if let Some((program, validated)) = of(Kind::OBSERVED).zip(of(Kind::VALIDATED)) {
        let (name, of) = ("create, with validation", "with program");
        rows.push(samples_at_most(name, &validated.make, of, &program.make, Some(FLOOR)));
    }
    for peer in PEERS {
        let (kind, ours) = if peer.named { ("named", named) } else { ("anonymous", anonymous) };
        let Some((ours, theirs)) = ours.zip(find(peer.name)) else { continue };
        let row = |what: &str, ours: &Samples, theirs: &Samples, goal| {
            samples_against(&format!("{what}, {kind}"), ours, peer.name, theirs, goal)
        };
        rows.push(row("create", &ours.make, &theirs.make, peer.make));
        rows.push(row("take down until reclaimed", &ours.reclaim, &theirs.reclaim, peer.reclaim));
        rows.push(row("take down, what the caller waits for", &ours.take_down, &theirs.take_down, None));
    }
    rows
}

/// Why a goal is missed, as far as that was found out; `floor_us` is what the floor takes to make one of that kind.
#[must_use]
pub fn reason(row: &Row, floor_us: Option<f64>) -> String {
    let at_best = row.peer_us.zip(floor_us).map(|(peer, floor)| peer / floor);
    if row.peer.as_deref() == Some("the floor") && row.ratio_p25.is_some_and(|ratio| ratio <= FLOOR) {
        return "the lower quartiles are within the goal; others at work on the machine disturb the medians"
            .to_owned();
    }
    if row.name.starts_with("create,")
        && let Some(ratio) = at_best
    {
        return format!(
            "the floor, system calls alone, would reach {ratio:.1}x in this run: the rest is the kernel's share, and how \
             fast the machine starts processes"
        );
    }
    let known = if row.name.ends_with("others alive") {
        "with 8,000 alive, perf has idr_for_each, called by cleanup_net, first among the kernel's reclaiming threads: \
         work for each living namespace whenever one goes. The library has no part in it"
    } else if row.name.starts_with("take down until reclaimed") {
        "the kernel begins to reclaim late and takes tens of milliseconds however few there are (one alone: 11 to 350 ms; \
         each of 32: 2 to 3.5 ms; each of 512: 1.3 to 2.3 ms, probed on a busy machine), which is spread over the few of a \
         turn. The library and the floor take alike: see their row. The caller waits for none of it"
    } else if row.name.starts_with("pool") {
        "those that were not ready were made directly, which takes a millisecond and more: fewer were made in the \
         background than were taken. See the rows of coming and going for how many the machine makes, and the load"
    } else {
        "not found out. The load says whether others were at work: repeat it on an idle machine before looking further"
    };
    known.to_owned()
}
