//! Collects the violations that the program reports, and writes their frames into a file if asked to.

use super::violation::sender;
use crate::failure::Failure;
use netns_ebpf::pcapng::PcapWriter;
use netns_ebpf::{Monitor, PortIdentity, Slot, Violation};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::Arc;

/// Collects violations.
pub(crate) struct Reporter {
    pcap: Option<PcapWriter<BufWriter<File>>>,
}

impl Reporter {
    /// Begins the file, if there is one.
    pub(crate) fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let begin = |path: &Path| {
            let file = File::create(path).and_then(|file| PcapWriter::new(BufWriter::new(file)));
            file.map_err(|error| Failure::usage(format!("write {}: {error}", path.display())))
        };
        Ok(Self { pcap: path.map(begin).transpose()? })
    }

    /// The violations since the last call; `port` knows whose slot it is.
    pub(crate) fn violations<'p>(
        &mut self,
        monitor: &Monitor,
        port: impl Fn(Slot) -> Option<&'p Arc<PortIdentity>>,
    ) -> Result<Vec<Violation>, Failure> {
        let mut violations = Vec::new();
        let mut written = Ok(());
        monitor.events(|event| {
            let violation = Violation::of(event, event.slot.and_then(&port));
            if let (Some(pcap), true) = (self.pcap.as_mut(), written.is_ok()) {
                let (port, namespace) = sender(&violation);
                let comment = format!("{}, from {namespace} by {port}", event.reason);
                written = pcap.write(event, &comment);
            }
            violations.push(violation);
        });
        written
            .and_then(|()| self.pcap.as_mut().map_or(Ok(()), PcapWriter::flush))
            .map_err(|error| unwritten(&error))?;
        Ok(violations)
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::usage(format!("write the frames down: {error}"))
}
