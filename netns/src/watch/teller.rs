//! Takes what the program reports of frames that may not be sent, and writes them down if that is asked for.

use super::violation::sender;
use crate::failure::Failure;
use netns_ebpf::pcapng::PcapWriter;
use netns_ebpf::{Monitor, PortIdentity, Slot, Violation};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::Arc;

/// Takes them.
pub(crate) struct Teller {
    pcap: Option<PcapWriter<BufWriter<File>>>,
}

impl Teller {
    /// Begins the file, if there is to be one.
    pub(crate) fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let begin = |path: &Path| {
            let file = File::create(path).and_then(|file| PcapWriter::new(BufWriter::new(file)));
            file.map_err(|error| Failure::usage(format!("write {}: {error}", path.display())))
        };
        Ok(Self { pcap: path.map(begin).transpose()? })
    }

    /// What the program has reported since the last call; `port` knows whose slot it is.
    pub(crate) fn tell<'p>(
        &mut self,
        monitor: &Monitor,
        port: impl Fn(Slot) -> Option<&'p Arc<PortIdentity>>,
    ) -> Result<Vec<Violation>, Failure> {
        let mut told = Vec::new();
        let mut written = Ok(());
        monitor.events(|event| {
            let violation = Violation::of(event, event.slot.and_then(&port));
            if let (Some(pcap), true) = (self.pcap.as_mut(), written.is_ok()) {
                let (port, namespace) = sender(&violation);
                let comment = format!("{}, from {namespace} by {port}", event.reason);
                written = pcap.write(event, &comment);
            }
            told.push(violation);
        });
        written
            .and_then(|()| self.pcap.as_mut().map_or(Ok(()), PcapWriter::flush))
            .map_err(|error| unwritten(&error))?;
        Ok(told)
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::usage(format!("write the frames down: {error}"))
}
