//! A run's ports as the source that is watched.

use super::lab::{Member, RunLab};
use crate::cli::RunShape;
use crate::failure::Failure;
use crate::watch::{Reporter, Source};
use netns_ebpf::{Behind, Mode, Pair, PortChange, PortIdentity, PortReading, Reading, Slot, Violation};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The ports of a finished lab: none are added or removed.
pub(crate) struct SourcePorts<'a, 'm> {
    lab: &'a mut RunLab<'m>,
    network: String,
    infos: Vec<Arc<PortIdentity>>,
    reporter: Reporter,
}

impl<'a, 'm> SourcePorts<'a, 'm> {
    pub(crate) fn of(lab: &'a mut RunLab<'m>, network: String, reporter: Reporter) -> Self {
        // Without a program there are no slots, so the ports are numbered.
        let numbers = (1..=u16::MAX).filter_map(Slot::new);
        let info = |(member, number): (&Member, Slot)| {
            Arc::new(PortIdentity {
                ifindex: member.port_index,
                slot: member.slot.unwrap_or(number),
                name: member.port,
                mac: None,
                behind: Behind::Named(member.name.clone()),
            })
        };
        let infos = lab.members().iter().zip(numbers).map(info).collect();
        Self { lab, network, infos, reporter }
    }

    /// The kernel's counters, where there is no program.
    fn read_kernel(&mut self) -> Result<Reading, Failure> {
        let stats = self.lab.port_stats()?;
        let ports = self.infos.iter().zip(&stats).map(|(info, stats)| PortReading::of_kernel(info, stats));
        Ok(Reading::of_kernel(ports.collect()))
    }

    fn place(&self, slot: Slot) -> Option<usize> {
        self.infos.iter().position(|info| info.slot == slot)
    }
}

impl Source for SourcePorts<'_, '_> {
    fn network(&self) -> &str {
        &self.network
    }

    fn changes(&mut self, limit: Duration) -> Result<Vec<PortChange>, Failure> {
        thread::sleep(limit);
        self.lab.keep_ways_out()?;
        Ok(Vec::new())
    }

    fn read(&mut self) -> Result<Reading, Failure> {
        self.lab.flush_log();
        self.lab.read_barrier()?;
        let mut reading = match self.lab.monitor() {
            Some(monitor) => monitor.read(&self.infos),
            None => self.read_kernel()?,
        };
        if let (RunShape::Pair, [first, second]) = (self.lab.topology(), &reading.ports[..]) {
            reading.pairs = Pair::of_cable([first, second]).into();
        }
        Ok(reading)
    }

    fn violations(&mut self) -> Result<Vec<Violation>, Failure> {
        let Some(monitor) = self.lab.monitor() else { return Ok(Vec::new()) };
        let infos = &self.infos;
        self.reporter.violations(monitor, |slot| infos.iter().find(|info| info.slot == slot))
    }

    fn addresses(&mut self, port: &PortIdentity) -> Vec<String> {
        let member = self.place(port.slot).map(|place| &self.lab.members()[place]);
        let lines = |member: &Member| {
            let addresses = member.addresses.iter().map(ToString::to_string);
            addresses.chain([format!("MAC {}", member.mac)]).collect()
        };
        member.map_or_else(Vec::new, lines)
    }

    fn policy(&mut self, port: &PortIdentity) -> Option<(&'static str, Mode)> {
        Some(("its own addresses (and DHCP)", self.lab.monitor()?.mode(port.slot)?))
    }
}
