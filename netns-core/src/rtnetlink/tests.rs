//! Requests compared with those of iproute2, byte for byte.
//!
//! `tests/golden` holds what iproute2 sends; `tests/kernel/golden.rs` of the workspace captures it, and says how to do
//! that again.

mod describe;
mod links;
mod networks;
mod programs;
mod reported;
mod tree;

use crate::wire::{Batch, Message, Messages};
use crate::{IfName, IpNet, MacAddress};
use std::net::IpAddr;
use tree::{differences, lines};

/// An intended difference: a line that only iproute2's request has (`-`), one that only ours has (`+`), or another
/// order of ours (`order`); and why.
type Meant<'a> = (&'a str, &'a str);

/// Compares what we send with a golden file.
///
/// The sequence number is left out of both: it belongs to the socket and not to the request; the port id is 0 in both.
/// Of a descriptor, whose number differs in every process, only its presence is compared; the tests on the kernel show
/// that it is the right one.
macro_rules! golden {
    ($name:literal, $encode:expr, $meant:expr) => {
        crate::rtnetlink::tests::compare(
            $name,
            include_str!(concat!("golden/", $name, ".golden")),
            $encode,
            $meant,
        )
    };
}
use golden;

/// The bytes of a golden file; what follows `#` is for readers.
fn bytes_of(file: &str) -> Vec<u8> {
    let hex = file.lines().filter_map(|line| line.split('#').next()).flat_map(str::split_whitespace);
    hex.map(|byte| u8::from_str_radix(byte, 16).expect("two digits")).collect()
}

#[track_caller]
fn compare(name: &str, file: &str, encode: impl FnOnce(&mut Batch), meant: &[Meant<'_>]) {
    let theirs = bytes_of(file);
    let mut batch = Batch::new();
    encode(&mut batch);
    assert_eq!(batch.messages(), 1);
    let asks = message(batch.bytes()).header.kind % 4 == libc::RTM_GETLINK % 4;
    // What `RouteSocket` sets on the last message of a batch.
    batch.seal(0, if asks { 0 } else { libc::NLM_F_ACK });
    let ours = batch.bytes();

    let found = differences(&lines(message(&theirs)), &lines(message(ours)));
    let meant: Vec<_> = meant.iter().map(|(line, _)| *line).collect();
    assert_eq!(
        found,
        meant,
        "{name}\ntheirs: {:#?}\nours: {:#?}",
        lines(message(&theirs)),
        lines(message(ours))
    );
    if meant.is_empty() && !lines(message(ours)).iter().any(|line| line.ends_with(tree::DESCRIPTOR)) {
        assert_eq!(theirs, ours, "{name}");
    }
}

/// The one message of a run of bytes.
#[track_caller]
fn message(bytes: &[u8]) -> Message<'_> {
    let mut messages = Messages::new(bytes);
    let message = messages.next().expect("a message");
    assert_eq!(messages.remaining(), 0, "more than one message");
    message
}

fn name(name: &str) -> IfName {
    name.parse().unwrap()
}

fn net(net: &str) -> IpNet {
    net.parse().unwrap()
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn mac(mac: &str) -> MacAddress {
    mac.parse().unwrap()
}
