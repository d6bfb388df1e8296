//! A port's slot is given back before its number is handed out again.

use netns_core::network::{Network, NetworkOptions, PortInfo, PortProgram};
use netns_core::{Cause, Error, Result};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tests::{Verdict, in_host, load_program};

/// A program that is slow to take a slot back, and has at most one for a port.
#[derive(Debug)]
struct Slow {
    program: OwnedFd,
    /// Ports by slot.
    ports: Mutex<BTreeMap<u16, u32>>,
}

impl PortProgram for Slow {
    fn ingress(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    fn egress(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    fn assign(&self, port: &PortInfo) -> Result<u16> {
        let mut ports = self.ports.lock().unwrap();
        if ports.values().any(|index| *index == port.index) {
            return Err(Error::new(
                "assign slot",
                port.name.to_string(),
                Cause::Program("it has one".into()),
            ));
        }
        let slot = (1..=u16::MAX).find(|slot| !ports.contains_key(slot)).unwrap();
        ports.insert(slot, port.index);
        Ok(slot)
    }

    fn release(&self, slot: u16) {
        thread::sleep(Duration::from_millis(10));
        self.ports.lock().unwrap().remove(&slot);
    }
}

#[test]
fn a_number_is_free_only_when_its_slot_is() {
    in_host(|_| {
        let program = load_program(Verdict::Pass).unwrap();
        let program = Arc::new(Slow { program, ports: Mutex::default() });
        let options = NetworkOptions {
            subnet_v4: Some("10.99.0.0/16".parse().unwrap()),
            maximum: 8,
            patience: Duration::from_secs(20),
            program: Some(program.clone()),
            ..NetworkOptions::new("sb".parse().unwrap())
        };
        let network = Network::create(&options).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..15 {
                        drop(network.create_sandbox().unwrap());
                    }
                });
            }
        });
        network.wait_reclaimed(Duration::from_secs(20)).unwrap();
        assert!(program.ports.lock().unwrap().is_empty());
    });
}
