//! The ports of an observed bridge as they come and go: attached to, and left as they were.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use netns_core::link::{self, Link, Offloads};

use super::behind;
use super::judge::Learnt;
use super::kernel::Counts;
use super::{ObservedPort, Observer, PortChange, noted};
use crate::monitor::reading::{Behind, PortIdentity};
use crate::monitor::{Attachment, CountedApart, Mode, MonitorError, Policy, Slot};

impl Observer<'_> {
    /// Compares what we know with what is there: detaches from what is not there any more, and notes the rest to be looked
    /// at.
    pub(super) fn list_all(&mut self) -> Result<(), MonitorError> {
        let links =
            link::list_ports(&mut self.socket, self.bridge.index).map_err(|source| self.failed(source))?;
        let there: HashSet<u32> = links.iter().map(|link| link.index).collect();
        let gone: Vec<u32> = self.ports.keys().filter(|index| !there.contains(index)).copied().collect();
        // What is known of them now is newer than what events have said.
        self.unseen = links.into();
        for index in gone {
            self.leave(index)?;
        }
        let refused: Vec<u32> = self.refused.keys().filter(|index| !there.contains(index)).copied().collect();
        for index in refused {
            self.forget_refused(index)?;
        }
        Ok(())
    }

    /// Asks for a link as it is now, and notes it to be looked at.
    pub(super) fn list_one(&mut self, index: u32) -> Result<(), MonitorError> {
        match link::get(&mut self.socket, index) {
            Ok(link) => {
                self.unseen.push_back(link);
                Ok(())
            }
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Looks at links that came or changed, as long as there is time. What an event says may be past: it is attached to all
    /// the same, and fails, or a later event says that it left.
    pub(super) fn look_at_unseen(&mut self, until: Option<Instant>) -> Result<(), MonitorError> {
        if self.unseen.is_empty() {
            return Ok(());
        }
        let found = self.find_out();
        while let Some(link) = self.unseen.pop_front() {
            self.look_at(&link, &found)?;
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
        }
        Ok(())
    }

    /// Who is behind those of the links that are new, if judging asks for that; all at once, since it takes a look at
    /// every namespace.
    pub(super) fn find_out(&mut self) -> HashMap<i32, Behind> {
        if !self.judging.asks_who() {
            return HashMap::new();
        }
        let is_new =
            |link: &&Link| link.master == Some(self.bridge.index) && !self.ports.contains_key(&link.index);
        let wanted: HashSet<i32> = self.unseen.iter().filter(is_new).filter_map(behind::id_of_link).collect();
        if wanted.is_empty() { HashMap::new() } else { self.find_behind(wanted) }
    }

    /// Looks at a link that came or changed, where it was found out who is behind some namespaces' ids.
    fn look_at(&mut self, link: &Link, found: &HashMap<i32, Behind>) -> Result<(), MonitorError> {
        let is_port = link.master == Some(self.bridge.index);
        let Some(port) = self.ports.get_mut(&link.index) else {
            if is_port {
                let behind = behind::id_of_link(link).and_then(|id| found.get(&id)).cloned();
                self.come(link, behind.unwrap_or_else(|| behind::of_link(link)));
            } else if self.refused.contains_key(&link.index) && !self.is_port(link.index) {
                return self.forget_refused(link.index);
            }
            return Ok(());
        };
        if !is_port {
            return if self.is_port(link.index) { Ok(()) } else { self.leave(link.index) };
        }
        let renamed = port.info.name != link.name;
        let moved = port.peer_namespace != behind::id_of_link(link);
        if renamed {
            port.info = Arc::new(PortIdentity { name: link.name, ..PortIdentity::clone(&port.info) });
        }
        if moved {
            return self.follow(link.index, renamed);
        }
        if renamed {
            let info = Arc::clone(&port.info);
            return self.judge_again(&info);
        }
        Ok(())
    }

    /// Finds out who is behind a port now that its other end is said to be in another namespace than before.
    ///
    /// One that was in the port's own namespace was brought away by somebody there, as engines do it that make a cable
    /// first: that is how it gets somebody behind it. From any other place those inside can move it themselves.
    fn follow(&mut self, index: u32, renamed: bool) -> Result<(), MonitorError> {
        // A notice may be past, and some do not say where the other end is.
        let link = match link::get(&mut self.socket, index) {
            Ok(link) => link,
            Err(error) if error.errno() == Some(libc::ENODEV) => return Ok(()),
            Err(error) => return Err(self.failed(error)),
        };
        let Some(port) = self.ports.get(&index) else { return Ok(()) };
        let (before, now) = (port.peer_namespace, behind::id_of_link(&link));
        let behind = match (&port.info.behind, before == now, now) {
            (_, true, _) | (Behind::Moved { .. }, ..) => port.info.behind.clone(),
            (Behind::Here, _, Some(id)) => {
                self.find_behind(HashSet::from([id])).remove(&id).unwrap_or(Behind::Id(id))
            }
            (from, ..) => Behind::Moved { from: Box::new(from.clone()) },
        };
        let Some(port) = self.ports.get_mut(&index) else { return Ok(()) };
        port.peer_namespace = now;
        if behind != port.info.behind {
            port.info = Arc::new(PortIdentity { behind, ..PortIdentity::clone(&port.info) });
            self.search.hasten();
        } else if !renamed {
            return Ok(());
        }
        let info = Arc::clone(&port.info);
        self.judge_again(&info)
    }

    /// Whether a link is a port of the bridge, as the kernel says now: some events of a port do not name its bridge.
    fn is_port(&mut self, index: u32) -> bool {
        link::get(&mut self.socket, index).is_ok_and(|now| now.master == Some(self.bridge.index))
    }

    /// Forgets a port that could not be attached to, and takes the barrier away from it.
    pub(super) fn forget_refused(&mut self, index: u32) -> Result<(), MonitorError> {
        if self.refused.remove(&index).is_some() { self.unbar(index) } else { Ok(()) }
    }

    /// Attaches to a port, unless that failed before.
    fn come(&mut self, link: &Link, behind: Behind) {
        if self.refused.contains_key(&link.index) {
            return;
        }
        let policy = self.given(link, &behind);
        match self.watch_host(policy.as_ref()).and_then(|()| self.take(link, policy.as_ref())) {
            Ok((slot, attachment)) => {
                let (ifindex, name, mac) = (link.index, link.name, link.mac);
                let info = Arc::new(PortIdentity { ifindex, slot, name, mac, behind });
                self.search.hasten();
                self.news.push(PortChange::Came(Arc::clone(&info)));
                if attachment.is_some() {
                    self.news.extend(self.judging.remark(policy.as_ref(), &info));
                }
                self.look_at_offloads(&info);
                let (learnt, stats) = (Learnt::default(), link.stats);
                let peer_namespace = behind::id_of_link(link);
                let observed = ObservedPort { peer_namespace, attachment, learnt, info, stats };
                self.ports.insert(link.index, observed);
                self.report_ahead(link.index);
            }
            // It is gone again.
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                let enforced = policy.is_some_and(|policy| policy.mode == Mode::Enforce);
                self.refused.insert(link.index, enforced);
                // Without a program there, nothing that it sends has the mark.
                let closed = enforced && self.barrier.is_some();
                self.news.push(PortChange::Refused { name: link.name, enforced, closed, error });
            }
        }
    }

    /// Tells where the kernel counts what passes a port that came, if it is not where the program does. A link that does not
    /// say what it leaves to its device is none of those that can be switched.
    fn look_at_offloads(&mut self, port: &Arc<PortIdentity>) {
        let Ok(Offloads { tso, gro, .. }) = link::offloads(&self.socket, port.name) else { return };
        let apart = [(!tso, CountedApart::Cut), (gro, CountedApart::Joined)];
        if matches!(self.counts, Counts::Program(_)) {
            let port = |why| PortChange::CountedApart { port: Arc::clone(port), why };
            self.news.extend(apart.into_iter().filter(|(is, _)| *is).map(|(_, why)| port(why)));
        }
    }

    /// Attaches to a port, or only numbers it where the kernel alone counts.
    fn take(
        &mut self,
        link: &Link,
        policy: Option<&Policy>,
    ) -> Result<(Slot, Option<Attachment>), MonitorError> {
        match &mut self.counts {
            Counts::Program(monitor) => {
                let link = (link, self.inherited.get(&link.index));
                let attachment = noted::attach(monitor, &mut self.socket, &mut *self.journal, link, policy)?;
                Ok((attachment.slot(), Some(attachment)))
            }
            Counts::Kernel(numbers) => Ok((numbers.give(link.index)?, None)),
        }
    }

    /// What is given for a port, before it has a slot.
    pub(super) fn given(&self, link: &Link, behind: &Behind) -> Option<Policy> {
        let Counts::Program(monitor) = &self.counts else { return None };
        // Its slot is not known yet, and no part of who it is.
        let slot = monitor.slot(link.index).or(Slot::new(1))?;
        let behind = behind.clone();
        let info = PortIdentity { ifindex: link.index, slot, name: link.name, mac: link.mac, behind };
        self.judging.given(&info)
    }

    /// Detaches from a port, if it was one.
    pub(super) fn leave(&mut self, index: u32) -> Result<(), MonitorError> {
        let Some(port) = self.ports.remove(&index) else { return Ok(()) };
        if let Err(error) = self.unbar(index) {
            self.ports.insert(index, port);
            return Err(error);
        }
        let last = self.counts.read(&port);
        if let Err(error) = self.counts.release(&mut self.socket, &mut *self.journal, &port) {
            // It is tried again in the end.
            self.ports.insert(index, port);
            return Err(error);
        }
        self.others.forget(index);
        self.news.push(PortChange::Left(Box::new(last)));
        Ok(())
    }
}

fn is_gone(error: &MonitorError) -> bool {
    matches!(error, MonitorError::Port { source, .. } if source.errno() == Some(libc::ENODEV))
}
