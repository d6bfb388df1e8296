//! Whatever bytes come: no panic, no read that is not of the frame, and a bounded number of reads.
//!
//! With libFuzzer (CONTRIBUTING.md says how), or as an ordinary program:
//!
//! ```console
//! # cd netns-ebpf/fuzz
//! # cargo run --release -- FILE...           # judges files, such as what libFuzzer or AFL found
//! # cargo run --release -- --seconds 60      # spoils the frames of the attack's table in every way
//! # cargo run --release -- --seeds FOLDER    # writes those frames to files, for libFuzzer to begin with
//! ```
#![cfg_attr(feature = "libfuzzer", no_main)]

use netns_ebpf::packet::{Bytes, ChecksumPlace, Facts, Permissions, Rules, Steps, is_plain, judge};
use std::cell::Cell;

/// More than any frame takes: each of 40 option bytes of IPv4 twice, 32 options of neighbour discovery, and headers.
const MOST_READS: u32 = 256;

/// A frame that counts how often it is read.
struct Counted<'a> {
    frame: &'a [u8],
    reads: Cell<u32>,
}

impl Bytes for Counted<'_> {
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.reads.set(self.reads.get() + 1);
        self.frame.load(at)
    }

    fn words<const N: usize, const LENGTH: usize>(&self, at: u32) -> Option<[u32; N]> {
        self.reads.set(self.reads.get() + 1);
        self.frame.words::<N, LENGTH>(at)
    }
}

impl Steps for Counted<'_> {}

/// The first eight bytes are what the kernel says of the frame and what its port may send, the others are the frame.
fn check(input: &[u8]) {
    let Some((head, frame)) = input.split_first_chunk::<8>() else { return };
    let [flags, a, b, c, d, permission, place, _] = *head;
    let length = u32::from_le_bytes([a, b, c, d]);
    let facts = Facts {
        // Mostly the truth.
        length: if flags & 1 == 0 { u32::try_from(frame.len()).unwrap_or(u32::MAX) } else { length },
        is_train: flags & 2 != 0,
        has_tag: flags & 4 != 0,
        checksum_at: if flags & 64 != 0 { ChecksumPlace::at(place.into()) } else { ChecksumPlace::NONE },
    };
    let rules = Rules::new([2, 0, 0, 0, 0, 1])
        .with_ipv4([10, 1, 1, 1].into(), if flags & 8 == 0 { 32 } else { 0 })
        .and_then(|rules| rules.with_ipv6([0xFD00, 0, 0, 0, 0, 0, 0, 1].into(), 64))
        .and_then(Rules::with_link_local)
        .expect("room for two");
    let everything = [
        Permissions::VLAN,
        Permissions::ROUTER,
        Permissions::DHCP_SERVER,
        Permissions::DHCP_CLIENT,
        Permissions::MULTICAST_ROUTER,
        Permissions::ICMP_ERRORS,
        Permissions::DHCP_RELAY,
    ];
    // Each by itself, all, or none.
    let permitted = |number: usize| flags & 16 != 0 && (flags & 32 != 0 || number == usize::from(permission) % 8);
    let given = everything.into_iter().enumerate().filter(|(number, _)| permitted(*number));
    let rules = given.fold(rules, |rules, (_, permission)| rules.permitting(permission));
    let counted = Counted { frame, reads: Cell::new(0) };
    let verdict = judge(&counted, facts, &rules);
    assert!(counted.reads.get() <= MOST_READS, "{} reads", counted.reads.get());
    assert_eq!(verdict, judge(frame, facts, &rules), "the same twice");
    assert!(verdict.is_ok() || !is_plain(frame, facts, &rules), "plain, and yet {verdict:?}");
}

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|input: &[u8]| check(input));

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--seconds", seconds] => spoil(seconds.parse().expect("a number of seconds")),
        ["--seeds", folder] => write_seeds(folder.as_ref()).expect("a folder to write to"),
        [] => eprintln!("files to judge, --seconds NUMBER, or --seeds FOLDER"),
        _ => arguments.iter().for_each(|path| check(&std::fs::read(path).expect("a file"))),
    }
}

/// The frames of the attack's table, wrong ones and right ones.
#[cfg(not(feature = "libfuzzer"))]
fn frames() -> Vec<Vec<u8>> {
    use netns_ebpf::attack::{Party, cases};

    cases(&Party::numbered(1), &Party::numbered(2)).into_iter().flat_map(|case| [case.frame, case.near]).collect()
}

/// Writes each frame to a file, behind eight bytes that are nothing special.
#[cfg(not(feature = "libfuzzer"))]
fn write_seeds(folder: &std::path::Path) -> std::io::Result<()> {
    for (number, frame) in frames().iter().enumerate() {
        std::fs::write(folder.join(format!("{number:03}")), [&[0; 8], &frame[..]].concat())?;
    }
    Ok(())
}

/// Spoils frames for so long.
#[cfg(not(feature = "libfuzzer"))]
fn spoil(seconds: u64) {
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    let frames = frames();
    // Other frames each time; the seed is printed, and a panic says the rest.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut state = u64::try_from(now.as_nanos()).unwrap_or(1) | 1;
    println!("seed {state}");
    let mut next = |limit: usize| {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 11).unwrap_or(0) % limit
    };
    let (begin, mut count) = (Instant::now(), 0_u64);
    while begin.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..10_000 {
            let mut input: Vec<u8> = (0..8).map(|_| next(256) as u8).collect();
            input.extend(&frames[next(frames.len())]);
            for _ in 0..next(6) {
                let at = 8 + next(input.len() - 8);
                input[at] = next(256) as u8;
            }
            if next(8) == 0 {
                input.truncate(8 + next(input.len() - 7));
            }
            check(&input);
            count += 1;
        }
    }
    println!("{count} frames judged");
}
