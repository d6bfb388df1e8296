//! The lines of a journal: where it is of, and then what was done; the last line of a port counts.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use netns_core::IfName;
use netns_core::record::Line;

use super::place::JournalPlace;
use crate::monitor::MonitorError;
use crate::monitor::observe::barred::Barred;
use crate::monitor::observe::trace::{Clsact, Trace};

/// Of an observer that detached from a port for good.
pub(super) const LEFT: &str = "left";
/// Of one that took its barrier away.
pub(super) const LOWERED: &str = "lowered";
/// Of programs that were there before.
pub(super) const EARLIER: &str = "earlier";

impl Trace {
    pub(super) fn line(&self) -> Line {
        let clsact = match self.clsact {
            Clsact::Unsure => "unsure",
            Clsact::Ours => "ours",
            Clsact::Leaving => "leaving",
            Clsact::NotOurs => "others",
        };
        Line::new("port")
            .with(self.ifindex)
            .with(clsact)
            .with_bytes(self.name.as_bytes())
            .with_option(self.mac)
    }

    pub(super) fn read(line: &Line) -> Option<Self> {
        let clsact = match line.text(1)? {
            "unsure" => Clsact::Unsure,
            "ours" => Clsact::Ours,
            "leaving" => Clsact::Leaving,
            "others" => Clsact::NotOurs,
            _ => return None,
        };
        Some(Self {
            ifindex: line.parse(0)?,
            clsact,
            name: IfName::reported(line.bytes(2)?)?,
            mac: line.optional(3)?,
        })
    }
}

/// What a record says.
#[derive(Default)]
pub(super) struct JournalLine {
    pub(super) place: Option<JournalPlace>,
    pub(super) traces: BTreeMap<u32, Trace>,
    pub(super) barred: Option<Barred>,
    pub(super) earlier: Vec<[u32; 2]>,
}

pub(super) fn read(path: &Path, lines: &[Line]) -> Result<JournalLine, MonitorError> {
    let unknown = |line: &Line| MonitorError::Kernel {
        operation: format!("read {}", path.display()),
        source: io::Error::new(ErrorKind::InvalidData, format!("this makes no sense: {line}")),
    };
    let mut said = JournalLine::default();
    let Some((first, rest)) = lines.split_first() else { return Ok(said) };
    let place =
        JournalPlace::read(first).filter(|_| first.key() == "bridge").ok_or_else(|| unknown(first))?;
    for line in rest {
        match line.key() {
            LEFT => {
                let index: u32 = line.parse(0).ok_or_else(|| unknown(line))?;
                said.traces.remove(&index);
            }
            LOWERED => said.barred = None,
            Barred::FORWARDING => {
                let barred = said.barred.as_mut().ok_or_else(|| unknown(line))?;
                let (port, before) = line.parse(0).zip(line.parse(1)).ok_or_else(|| unknown(line))?;
                barred.forwarding.insert(port, before);
            }
            Barred::KEY => said.barred = Some(Barred::read(line).ok_or_else(|| unknown(line))?),
            EARLIER => {
                let programs = line.parse(0).zip(line.parse(1)).ok_or_else(|| unknown(line))?;
                said.earlier.push(programs.into());
            }
            "port" => {
                let trace = Trace::read(line).ok_or_else(|| unknown(line))?;
                said.traces.insert(trace.ifindex, trace);
            }
            _ => return Err(unknown(line)),
        }
    }
    said.place = Some(place);
    Ok(said)
}
