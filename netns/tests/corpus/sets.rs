//! Lies in sets of fragments and chains of extension headers. No frame of a set need be a lie by itself, so it is the victim's
//! kernel that says what it makes of them: what its raw sockets hear was put together before.

use crate::lab::{self, Sandbox, VICTIM};
use crate::observed::Observed;
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use tests::{in_host, ip, oracle, run};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/sets.py");
/// Whose number is the seed of the next ones: other sets are tried with `SEED=2`.
const SEED: &str = "1";
/// How many sets are sent.
const COUNT: &str = "2000";
/// How many kinds of lies there are in them.
const KINDS: usize = 11;

/// Sends the sets, and counts what the victim understands of them, by kind.
fn understood(seed: &str) -> Map<String, Value> {
    let mut hears = oracle("ip")
        .args(["netns", "exec", VICTIM.name, "python3", SCRIPT, "understand"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ip starts");
    let mut lines = BufReader::new(hears.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    let attacker = Sandbox::named("host").name;
    let _ = run(oracle("ip").args(["netns", "exec", attacker, "python3", SCRIPT, "send", seed, COUNT]));
    // Everything is delivered within the sender's calls. Its end is the script's.
    drop(hears.stdin.take());
    let counts = lines.next().expect("it has counted");
    assert!(hears.wait().expect("it ends").success());
    serde_json::from_str(&counts).expect("counts")
}

#[test]
fn no_set_of_fragments_or_headers_is_understood_as_a_lie() {
    in_host(|_| {
        drop(oracle("python3"));
        lab::make_with(2, |name| drop(ip(&format!("netns add {name}"))));
        let _ = ip(&format!("netns exec {} sysctl -qw net.ipv6.conf.all.accept_ra=0", VICTIM.name));
        let seed = std::env::var("SEED").unwrap_or_else(|_| SEED.to_owned());
        // First, because the victim's kernel keeps fragments for a minute: with what was let in without a guard, one that may
        // pass would complete a lie.
        let observed = Observed::start(true);
        let guarded = understood(&seed);
        observed.end();
        // An attack that does not work proves nothing.
        let observed = Observed::start(false);
        let unguarded = understood(&seed);
        assert_eq!(unguarded.len(), KINDS, "{unguarded:?}");
        eprintln!("understood, observed: {unguarded:?}; enforced: {guarded:?}");
        assert_eq!(guarded, Map::new(), "SEED={seed}");
        observed.end();
    });
}
