//! What a program that uses the libraries does: a network, a sandbox, its first packet; the eBPF program on a port.

use netns_core::IfName;
use netns_core::network::{Network, NetworkOptions};
use netns_ebpf::{Monitor, MonitorOptions};
use std::fmt::Display;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::exit;
use std::time::Duration;
use tests::in_host;

/// Set where these tests run in a container, as programs.
const AS_PROGRAM: &str = "NETNS_AS_PROGRAM";

#[test]
fn a_program_makes_its_first_sandbox() {
    test_or_program(first_sandbox);
}

#[test]
fn a_program_loads_ours() {
    test_or_program(|| Monitor::load(&MonitorOptions::default()).map(drop));
}

fn test_or_program<E: Display>(what: impl FnOnce() -> Result<(), E> + Send) {
    if std::env::var_os(AS_PROGRAM).is_none() {
        in_host(|_| assert_eq!(what().map_err(|error| error.to_string()), Ok(())));
        return;
    }
    match what() {
        Ok(()) => exit(0),
        Err(error) => {
            eprintln!("{error}");
            exit(2)
        }
    }
}

fn first_sandbox() -> netns_core::Result<()> {
    let network = Network::create(&NetworkOptions {
        subnet_v4: Some("10.98.0.0/24".parse()?),
        ..NetworkOptions::new(IfName::new("first")?)
    })?;
    let sandbox = network.create_sandbox()?;
    let address = sandbox.address_v4().expect("the network has a subnet").address();
    // Nobody listens there, so the answer is a refusal. It does not need the right to send raw packets.
    let refused = TcpStream::connect((address, 9)).map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
    drop(sandbox);
    network.wait_reclaimed(Duration::from_secs(10))
}
