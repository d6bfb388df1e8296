//! What we aim at, and whether we do.

use crate::compare::Compared;
use crate::report::Row;
use crate::samples::{Samples, micros};

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

/// Why a goal is missed, as far as that was found out.
#[must_use]
pub fn reason(row: &Row) -> &'static str {
    let beside_floor = row.peer.as_deref() == Some("the floor");
    if beside_floor && row.ratio_p25.is_some_and(|ratio| ratio <= FLOOR) {
        "the lower quartiles are within the goal; the medians are of a machine where others are at work"
    } else if row.name.starts_with("take down") {
        "the time is the kernel's: the floor, which only closes a descriptor, takes as long (its own row), and it grows \
         with whatever else holds RTNL or a CPU. What the caller waits for is in a row of its own. Not yet repeated on an \
         idle machine"
    } else if row.name.starts_with("pool") {
        "those that were not ready were made directly, which takes a millisecond and more: the pool's thread did not make \
         as many a second as were taken. See the rows of coming and going for how many it can, and the load"
    } else {
        "not found out. The load says whether others were at work: repeat it on an idle machine before looking further"
    }
}
