//! A record as lines, one a thing, and back.

use super::{LinkEntry, Record, RecordedCommand, RecordedName, RecordedRoute, RecordedWayOut, SysctlEntry};
use crate::topology::Place;
use netns_core::nat::Forwarding;
use netns_core::record::{Line, RecordedFolder, RecordedNamespace};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const FILE: &str = "file";
const FIRST_FILE: &str = "first-file";
const APPLIED: &str = "applied";
const BRIDGE: &str = "bridge";
const LINK: &str = "link";
const CABLE: &str = "cable";
const INDEX: &str = "index";
const ADDRESS: &str = "address";
const ROUTE: &str = "route";
const SYSCTL: &str = "sysctl";
const COMMAND: &str = "command";
const PROGRAMS: &str = "programs";
const BARRIER: &str = "barrier";
const GROUP: &str = "group";
const WAY_OUT: &str = "way-out";

impl Record {
    /// The lines that say the same.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = vec![
            Line::new(FILE).with_bytes(self.file.as_os_str().as_bytes()),
            RecordedFolder(self.folder).line(),
        ];
        lines.extend(
            self.first_file
                .as_ref()
                .map(|file| Line::new(FIRST_FILE).with_bytes(file.as_os_str().as_bytes())),
        );
        lines.extend(self.applied.as_ref().map(|text| Line::new(APPLIED).with(text)));
        lines.extend(
            self.namespaces
                .iter()
                .map(|(name, identity)| RecordedNamespace { name: name.clone(), identity: *identity }.line()),
        );
        lines.extend(self.bridges.iter().map(|link| end(Line::new(BRIDGE), link)));
        lines.extend(self.links.iter().map(|link| end(Line::new(LINK), link)));
        lines.extend(self.cables.iter().map(|[one, other]| end(end(Line::new(CABLE), one), other)));
        lines.extend(self.every_link().filter_map(|link| {
            Some(Line::new(INDEX).with(&link.place).with(&link.name).with(&link.mac).with(link.index?))
        }));
        lines.extend(
            self.addresses
                .iter()
                .map(|(link, net)| Line::new(ADDRESS).with(&link.place).with(&link.name).with(net)),
        );
        lines.extend(self.routes.iter().map(|route| {
            let line = Line::new(ROUTE).with(&route.place).with(&route.to);
            line.with_option(route.via.as_ref()).with_option(route.dev.as_ref()).with_option(route.metric)
        }));
        lines.extend(self.sysctls.iter().map(|sysctl| {
            let line = Line::new(SYSCTL).with(&sysctl.place).with(&sysctl.key);
            let line = line.with(&sysctl.before).with(&sysctl.value).with(sysctl.interfaces.is_some());
            sysctl.interfaces.iter().flatten().fold(line, Line::with)
        }));
        lines.extend(self.commands.iter().map(|command| {
            Line::new(COMMAND).with(&command.namespace).with(command.group).with(&command.command)
        }));
        lines.extend(self.programs.iter().flat_map(|(place, programs)| {
            programs
                .iter()
                .map(move |[ingress, egress]| Line::new(PROGRAMS).with(place).with(ingress).with(egress))
        }));
        lines.extend(self.barriers.iter().map(|(place, name)| Line::new(BARRIER).with(place).with(name)));
        lines.extend(self.groups.iter().map(|(name, number)| Line::new(GROUP).with(name).with(number)));
        for way in &self.ways_out {
            let line = Line::new(WAY_OUT).with(&way.bridge).with(&way.table);
            lines.push(line.with_option(way.fingerprint.as_ref()));
            lines.extend(way.forwarding.lines());
        }
        lines
    }

    /// Reads them; the first line that makes no sense.
    pub(super) fn read(lines: &[Line]) -> Result<Self, Option<&Line>> {
        let mut record = Self::empty(PathBuf::new());
        for line in lines {
            record.take(line).ok_or(Some(line))?;
        }
        if record.file.as_os_str().is_empty() { Err(None) } else { Ok(record) }
    }

    fn take(&mut self, line: &Line) -> Option<()> {
        let text = |word: usize| line.text(word).map(str::to_owned);
        let place = || line.text(0).map(|name| Place::from(name.to_owned()));
        match line.key() {
            FILE => self.file = path(line)?,
            FIRST_FILE => self.first_file = Some(path(line)?),
            RecordedFolder::KEY => self.folder = RecordedFolder::read(line)?.0,
            APPLIED => self.applied = Some(text(0)?),
            RecordedNamespace::KEY => {
                let RecordedNamespace { name, identity } = RecordedNamespace::read(line)?;
                self.namespaces.insert(name, identity);
            }
            BRIDGE => self.bridges.push(read_end(line, 0)?),
            LINK => self.links.push(read_end(line, 0)?),
            CABLE => self.cables.push([read_end(line, 0)?, read_end(line, 3)?]),
            // After the link itself.
            INDEX => {
                let (place, name, mac) = (place()?, text(1)?, text(2)?);
                let is_it =
                    |link: &&mut LinkEntry| link.place == place && link.name == name && link.mac == mac;
                self.every_link_mut().find(is_it)?.index = Some(line.parse(3)?);
            }
            ADDRESS => self.addresses.push((RecordedName { place: place()?, name: text(1)? }, text(2)?)),
            ROUTE => self.routes.push(RecordedRoute {
                place: place()?,
                to: text(1)?,
                via: line.optional(2)?,
                dev: line.optional(3)?,
                metric: line.optional(4)?,
            }),
            SYSCTL => self.sysctls.push(SysctlEntry {
                place: place()?,
                key: text(1)?,
                before: text(2)?,
                value: text(3)?,
                interfaces: if line.parse(4)? { Some(line.texts(5)?) } else { None },
            }),
            COMMAND => self.commands.push(RecordedCommand {
                namespace: text(0)?,
                group: line.parse(1)?,
                command: text(2)?,
            }),
            PROGRAMS => {
                self.programs.entry(place()?).or_default().push([line.parse(1)?, line.parse(2)?]);
            }
            BARRIER => {
                self.barriers.insert(place()?, text(1)?);
            }
            GROUP => {
                self.groups.insert(text(0)?, line.parse(1)?);
            }
            WAY_OUT => self.ways_out.push(RecordedWayOut {
                bridge: text(0)?,
                table: text(1)?,
                fingerprint: line.optional(2)?,
                forwarding: Forwarding::default(),
            }),
            // Of the way out before it.
            Forwarding::KEY => {
                let forwarding = Forwarding::read(std::slice::from_ref(line));
                self.ways_out.last_mut()?.forwarding.extend(forwarding);
            }
            _ => return None,
        }
        Some(())
    }
}

fn path(line: &Line) -> Option<PathBuf> {
    Some(PathBuf::from(OsStr::from_bytes(line.bytes(0)?)))
}

fn end(line: Line, recorded: &LinkEntry) -> Line {
    line.with(&recorded.place).with(&recorded.name).with(&recorded.mac)
}

fn read_end(line: &Line, from: usize) -> Option<LinkEntry> {
    let text = |word: usize| line.text(from + word).map(str::to_owned);
    Some(LinkEntry { place: Place::from(text(0)?), name: text(1)?, mac: text(2)?, index: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netns_core::record::NamespaceIdentity;
    use netns_core::{Folder, NamespaceId};

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let (host, inside) = (Place::Host, Place::Namespace("a b".to_owned()));
        let link = |place: &Place, name: &str, mac: &str| LinkEntry {
            place: place.clone(),
            name: name.to_owned(),
            mac: mac.to_owned(),
            index: mac.ends_with("01").then_some(7),
        };
        let sysctl = |interfaces| SysctlEntry {
            place: host.clone(),
            key: "net/ipv4/ip_forward".to_owned(),
            value: "1".to_owned(),
            before: String::new(),
            interfaces,
        };
        let forwarding = |links: &[&str]| {
            let forwards = |link: &&str| {
                let name = format!("net/ipv4/conf/{link}/forwarding");
                Line::new(Forwarding::KEY).with(name).with(1).with(0).with(false)
            };
            Forwarding::read(&links.iter().map(forwards).collect::<Vec<_>>())
        };
        let id = NamespaceId { device: 4, inode: 5 };
        let identity = NamespaceIdentity { cookie: Some(7), id };
        let record = Record {
            file: PathBuf::from(OsStr::from_bytes(b"/tmp/a lab\xff.toml")),
            first_file: Some(PathBuf::from("/tmp/another lab.toml")),
            applied: Some("[bridge.br0]\n# two lines, 100%\n".to_owned()),
            folder: Folder { existed: true, mounted: false },
            namespaces: [("a b".to_owned(), identity)].into(),
            bridges: vec![link(&host, "br0", "02:00:00:00:00:01")],
            links: vec![link(&inside, "d0", "02:00:00:00:00:05")],
            cables: vec![[
                link(&host, "a-eth0", "02:00:00:00:00:02"),
                link(&inside, "eth0", "02:00:00:00:00:03"),
            ]],
            addresses: vec![(
                RecordedName { place: inside.clone(), name: "eth0".to_owned() },
                "fd00::1/64".to_owned(),
            )],
            routes: vec![RecordedRoute {
                place: inside.clone(),
                to: "0.0.0.0/0".to_owned(),
                via: Some("10.0.0.1".to_owned()),
                dev: None,
                metric: Some(5),
            }],
            sysctls: vec![sysctl(None), sysctl(Some(Vec::new())), sysctl(Some(vec!["lo".to_owned()]))],
            commands: vec![RecordedCommand {
                namespace: "a b".to_owned(),
                command: "sh -c 'a\nb'".to_owned(),
                group: 9,
            }],
            programs: [(host.clone(), vec![[1, 2], [3, 4]])].into(),
            barriers: [(host.clone(), "netns-barrier-1".to_owned())].into(),
            groups: [("red".to_owned(), 3)].into(),
            ways_out: vec![
                RecordedWayOut {
                    bridge: "br0".to_owned(),
                    table: "netns-nat-1".to_owned(),
                    fingerprint: Some("00ff".to_owned()),
                    forwarding: forwarding(&["br0", "up0"]),
                },
                RecordedWayOut {
                    bridge: "br1".to_owned(),
                    table: "netns-nat-2".to_owned(),
                    fingerprint: None,
                    forwarding: forwarding(&["br1"]),
                },
            ],
        };
        let lines = record.lines();
        assert_eq!(Record::read(&lines), Ok(record));
        assert_eq!(Record::read(&lines[1..]), Err(None));
        let what = [lines[0].clone(), Line::new("what")];
        assert_eq!(Record::read(&what), Err(Some(&what[1])));
    }
}
