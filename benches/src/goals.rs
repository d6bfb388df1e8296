//! What we aim at, and whether we reach it.

use crate::compare::Compared;
use crate::report::Row;
use crate::samples::{Samples, micros};
use crate::sandboxes::Kind;

/// By how much the library may exceed the floor.
pub const FLOOR: f64 = 1.05;

/// Another maker of sandboxes: how many times as long as ours it should take, to make one and to take one down.
struct Peer {
    name: &'static str,
    /// Whether its sandboxes have names, and are compared with ours that have.
    named: bool,
    make: Option<f64>,
    /// To take one down: as long as the caller waits, and as long as the kernel works.
    take_down: Option<f64>,
}

const PEERS: [Peer; 6] = [
    Peer { name: "ten ip commands", named: true, make: Some(50.0), take_down: None },
    Peer { name: "ip -batch", named: true, make: Some(5.0), take_down: Some(5.0) },
    Peer { name: "rtnetlink, as its examples", named: true, make: Some(15.0), take_down: None },
    Peer { name: "rtnetlink, tuned", named: false, make: None, take_down: None },
    Peer { name: "CNI bridge + host-local", named: true, make: Some(10.0), take_down: Some(30.0) },
    Peer { name: "netavark", named: true, make: Some(5.0), take_down: Some(50.0) },
];

/// Ours beside a peer, which should take at least `goal` times as long.
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

/// Ours beside something else, of which it should be at most `goal` times.
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

/// Like [`samples_at_most`], for two that were measured in turns.
#[must_use]
pub fn in_turns_at_most(name: &str, ours: &Samples, of: &str, theirs: &Samples, goal: Option<f64>) -> Row {
    let row = samples_at_most(name, ours, of, theirs, goal);
    let ratio = ours.ratio_in_turns(theirs);
    Row { ratio: Some(ratio), met: goal.map(|goal| ratio <= goal), ..row }
}

/// Ours beside a peer (see [`against`]), measured in turns.
#[must_use]
pub fn in_turns_against(name: &str, ours: &Samples, peer: &str, theirs: &Samples, goal: Option<f64>) -> Row {
    let row = samples_against(name, ours, peer, theirs, goal);
    let ratio = theirs.ratio_in_turns(ours);
    Row { ratio: Some(ratio), met: goal.map(|goal| ratio >= goal), ..row }
}

fn low(samples: &Samples) -> f64 {
    micros(samples.quantile(0.25))
}

/// Ours, which should be at most `goal` microseconds.
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

/// The rows of the contenders that took turns; `reclaimed` has, for each of them in their order, taking down one of
/// `each` until the kernel has reclaimed them.
#[must_use]
pub fn compared(results: &[Compared], reclaimed: &[Samples], each: u32) -> Vec<Row> {
    let find = |name: &str| results.iter().zip(reclaimed).find(|(result, _)| result.name == name);
    let (anonymous, named) = (find("netns-core (anonymous)"), find("netns-core (named)"));
    let mut rows = Vec::new();
    let of = |kind: Kind| find(&format!("netns-core ({})", kind.name));
    if let Some((program, validated)) = of(Kind::OBSERVED).zip(of(Kind::VALIDATED)) {
        let (name, of) = ("create, with validation", "with program");
        rows.push(samples_at_most(name, &validated.0.make, of, &program.0.make, Some(FLOOR)));
    }
    for peer in PEERS {
        let (kind, ours) = if peer.named { ("named", named) } else { ("anonymous", anonymous) };
        let Some(((ours, our_reclaim), (theirs, their_reclaim))) = ours.zip(find(peer.name)) else {
            continue;
        };
        let row = |what: &str, ours: &Samples, theirs: &Samples, goal| {
            samples_against(&format!("{what}, {kind}"), ours, peer.name, theirs, goal)
        };
        rows.push(row("create", &ours.make, &theirs.make, peer.make));
        let what = "take down, what the caller waits for";
        rows.push(row(what, &ours.take_down, &theirs.take_down, peer.take_down));
        let what = format!("take down {each} until reclaimed, each");
        rows.push(row(&what, our_reclaim, their_reclaim, peer.take_down));
    }
    rows
}

/// Why a goal is missed, as far as that was found out; `floor_us` is what the floor takes to do the same.
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
            "the floor, the same system calls from prepared bytes, would reach {ratio:.1}x in this run. Nearly all of its \
             time is the kernel's own registering of a namespace's and three links' sysctl and sysfs entries (the profile \
             in DESIGN.md); the rest is how fast this machine starts the peer's processes"
        );
    }
    let known = if row.name.ends_with("others alive") {
        "with 8,000 alive, perf has idr_for_each, called by cleanup_net, first among the kernel's reclaiming threads: \
         work for each living namespace whenever one goes. The library has no part in it"
    } else if row.name.contains("until reclaimed, each") {
        "dropping is one close; what is timed is the kernel's cleanup_net, which is busy all that time with taking out \
         what creation registered (the profile in DESIGN.md). Closing namespaces costs everyone the same: see the rows of \
         the floor and of rtnetlink. The caller waits for none of it: see the row above"
    } else if row.name.starts_with("pool") {
        "those that were not ready were made directly, which takes a millisecond and more: fewer were made in the \
         background than were taken. See the rows of coming and going for how many the machine makes, and the load"
    } else if row.name.starts_with("program, a frame counted and judged") {
        "the goal is from a machine on which an empty program took 26 ns; here the kernel's loop around each run alone takes 32 to \
         34. Above that it is 12 to 14 ns, of which counting takes 4"
    } else {
        "not found out. The load says whether others were at work: repeat it on an idle machine before looking further"
    };
    known.to_owned()
}
