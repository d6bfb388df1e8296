//! What the namespaces may send, and what they sent and may not.

use super::lab::Lab;
use super::report::Report;
use crate::cli::RunArguments;
use crate::failure::Failure;
use netns_core::MacAddress;
use netns_ebpf::packet::{Permissions, Reason, Rules};
use netns_ebpf::pcapng::PcapWriter;
use netns_ebpf::{Mode, Policy};
use std::fs::File;
use std::io::{self, BufWriter};
use std::net::IpAddr;

/// What a namespace may send: from its own addresses, and as a DHCP client.
pub(crate) fn policy(mac: MacAddress, addresses: &[IpAddr], mode: Mode) -> Result<Policy, Failure> {
    let own = Rules::new(mac.0).permitting(Permissions::DHCP_CLIENT).with_link_local();
    let rules = addresses.iter().fold(own, |rules, &address| match address {
        IpAddr::V4(address) => rules?.with_ipv4(address, 32),
        IpAddr::V6(address) => rules?.with_ipv6(address, 128),
    });
    let rules = rules.map_err(|full| Failure::usage(full.to_string()))?;
    Ok(Policy { mode, ..Policy::new(rules) })
}

/// What all namespaces sent and may not, by reason.
pub(crate) fn violations(lab: &Lab<'_>) -> Vec<(Reason, u64)> {
    let Some(monitor) = lab.monitor() else { return Vec::new() };
    let ports = lab.members().iter().filter_map(|member| member.slot);
    let violations: Vec<_> = ports.map(|slot| monitor.violations(slot)).collect();
    let sum = |reason| violations.iter().map(|violations| violations.of(reason)).sum();
    Reason::ALL.iter().map(|&reason| (reason, sum(reason))).filter(|(_, packets)| *packets > 0).collect()
}

/// Tells violations as they happen, and writes them down.
pub(crate) struct Teller {
    pcap: Option<PcapWriter<BufWriter<File>>>,
}

impl Teller {
    pub(crate) fn new(arguments: &RunArguments) -> Result<Self, Failure> {
        let pcap = arguments.pcap.as_ref().map(|path| {
            let file = File::create(path).and_then(|file| PcapWriter::new(BufWriter::new(file)));
            file.map_err(|error| Failure::usage(format!("write {}: {error}", path.display())))
        });
        Ok(Self { pcap: pcap.transpose()? })
    }

    /// What happened since the last time.
    pub(crate) fn tell(&mut self, lab: &Lab<'_>, report: &mut Report) -> Result<(), Failure> {
        let Some(monitor) = lab.monitor() else { return Ok(()) };
        let mut outcome = Ok(());
        monitor.events(|event| {
            if outcome.is_ok() {
                let member = lab.members().iter().find(|member| member.slot == event.slot);
                let (port, namespace) =
                    member.map_or(("?".into(), "?"), |member| (member.port.to_string(), &member.name));
                outcome = report.violation(event, &port, namespace).and_then(|()| {
                    let comment = format!("{}, from {namespace} by {port}", event.reason);
                    let written = self.pcap.as_mut().map(|pcap| pcap.write(event, &comment));
                    written.transpose().map(drop).map_err(|error| unwritten(&error))
                });
            }
        });
        outcome?;
        self.pcap.as_mut().map(PcapWriter::flush).transpose().map(drop).map_err(|error| unwritten(&error))
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::usage(format!("write the frames down: {error}"))
}
