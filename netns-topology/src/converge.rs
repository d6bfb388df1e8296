//! Making what is there what it is to be, and the record of it what is there.

use crate::apply::{Executor, Work};
use crate::error::{Error, Result};
use crate::observe::Observed;
use crate::plan::{Change, left, number_groups, plan, plan_around};
use crate::record::{LinkEntry, Record, RecordedRoute, Store, SysctlEntry};
use crate::topology::{LinkName, Place, Sysctl, Topology};
use netns_core::record::SharedSetting;
use netns_core::{Namespace, barrier};
use netns_ebpf::Mode;

/// How often a plan is made anew. Some changes take others with them: with an address the kernel removes routes and
/// the secondary addresses of its network, with a bridge its ports leave.
const ROUNDS: usize = 4;

/// Plans and executes until there is nothing left to change. Of what a process holds, what the kernel has acknowledged is there:
/// nobody has known of it before.
///
/// If something is in the way inside namespaces of the topology, what judges the interfaces that are there becomes as it is to be,
/// and nothing else.
pub(crate) fn converge(
    work: &mut Work<'_>,
    topology: &Topology,
    record: &mut Record,
    done: &mut Vec<Change>,
) -> Result<()> {
    work.is_undoing = *topology == Topology::default();
    work.expect(topology);
    for round in 0..ROUNDS {
        let observed = Observed::look_for(topology, record, &work.scope(record))?;
        if round == 0 {
            work.left = left(topology, record, &observed);
        }
        let mut plan = plan_around(topology, record, &observed)?;
        if !plan.inside.is_empty() {
            record.groups = number_groups(topology, record)?;
            plan.keep_policies(record, &observed);
            Executor::new(work, record).execute(&plan.changes, &observed)?;
            work.is_hindered = true;
            return Err(Error::Conflict(plan.inside));
        }
        let changes = plan.changes;
        record.groups = number_groups(topology, record)?;
        if changes.is_empty() {
            settle(work, topology, record)?;
            work.outcome()?;
            tidy(record, topology, &observed);
            return Ok(());
        }
        done.extend_from_slice(&changes);
        let made = Executor::new(work, record).execute(&changes, &observed);
        if work.is_stopped {
            return made;
        }
        if work.is_undoing {
            work.attempt(made)?;
            if let Err(failure) = work.outcome() {
                // What can be undone all the same, is.
                work.attempt(Err(failure))?;
                let settled = settle(work, topology, record);
                work.attempt(settled)?;
                return work.outcome();
            }
        } else {
            made?;
            if !work.store.is_of_file() {
                return settle(work, topology, record);
            }
        }
    }
    let left = plan(topology, record, &Observed::look_for(topology, record, &work.scope(record))?)?;
    Err(Error::Unstable(left.iter().map(ToString::to_string).collect()))
}

/// What is changed beside a plan.
fn settle(work: &mut Work<'_>, topology: &Topology, record: &mut Record) -> Result<()> {
    let lowered = lower_barriers(record, topology);
    work.attempt(lowered)?;
    settle_settings(work, record, topology)
}

/// Takes away the barriers of places where nothing is enforced any more. Those of namespaces that are gone went with them.
fn lower_barriers(record: &mut Record, topology: &Topology) -> Result<()> {
    let is_needed = |place: &Place| {
        let is_enforced = |cable: &crate::topology::Cable| {
            cable.ends[0].link.place == *place
                && cable.policy.as_ref().is_some_and(|policy| policy.mode == Mode::Enforce)
        };
        topology.cables.iter().any(is_enforced)
    };
    let of_no_use: Vec<Place> = record.barriers.keys().filter(|place| !is_needed(place)).cloned().collect();
    for place in of_no_use {
        let namespace = match &place {
            Place::Host => Some(Namespace::current()?),
            Place::Namespace(name) => Namespace::open(name).ok(),
        };
        if let (Some(namespace), Some(name)) = (namespace, record.barriers.get(&place)) {
            barrier::remove(&namespace, name)?;
        }
        record.barriers.remove(&place);
    }
    Ok(())
}

/// Claims what the host is already set to, for others may be about to put it back, and releases what is not needed any more.
fn settle_settings(work: &mut Work<'_>, record: &mut Record, topology: &Topology) -> Result<()> {
    let store = work.store;
    if store.is_nowhere() {
        return Ok(());
    }
    let wanted = || topology.sysctls.iter().filter(|sysctl| sysctl.is_shared());
    if wanted().next().is_none() && !record.sysctls.iter().any(SysctlEntry::is_shared) {
        return Ok(());
    }
    let (host, claimant) = (Namespace::current()?, store.claimant(record));
    let setting = |name| SharedSetting { namespace: &host, name, claimant: &claimant };
    let is_new = |record: &Record, sysctl: &Sysctl| record.sysctl(sysctl).is_none();
    let before = record.sysctls.len();
    for sysctl in wanted() {
        if is_new(record, sysctl) {
            record.sysctls.push(SysctlEntry::shared(sysctl, setting(&sysctl.key).before()?));
        }
    }
    if record.sysctls.len() > before {
        store.write(record)?;
    }
    for sysctl in wanted() {
        setting(&sysctl.key).claim(&sysctl.value)?;
    }
    let of_no_use = |recorded: &&SysctlEntry| !topology.sysctls.iter().any(|wanted| recorded.is(wanted));
    for recorded in record.sysctls.iter().filter(|recorded| recorded.is_shared()).filter(of_no_use) {
        work.leave(setting(&recorded.key).release(&recorded.before(), &recorded.value)?);
    }
    Ok(())
}

/// Nothing is left of what the record says.
pub(crate) fn finish(store: Store, record: &Record) -> Result<()> {
    record.folder.restore()?;
    let is_recorded = !store.is_nowhere();
    store.remove(record)?;
    if is_recorded { Ok(SharedSetting::tidy()?) } else { Ok(()) }
}

/// Drops from the record what is gone.
fn tidy(record: &mut Record, topology: &Topology, observed: &Observed) {
    let there = |link: &LinkEntry| observed.ours(link).is_some();
    let is = |recorded: &LinkEntry, link: &LinkName| recorded.is(link);
    for known in record.every_link_mut() {
        known.index = observed.ours(known).map(|now| now.index);
    }
    record.namespaces.retain(|name, _| topology.namespaces.contains(name));
    record.bridges.retain(|link| there(link) && topology.bridges.iter().any(|bridge| is(link, &bridge.link)));
    record.links.retain(|link| there(link) && topology.links.iter().any(|single| is(link, &single.link)));
    record.cables.retain(|ends| {
        let wanted = |link: &LinkEntry| {
            topology.cables.iter().flat_map(|cable| &cable.ends).any(|end| is(link, &end.link))
        };
        ends.iter().all(|end| there(end) && wanted(end))
    });
    record.addresses.retain(|(link, net)| {
        topology.addresses.iter().any(|address| link.is(&address.link) && address.net.to_string() == *net)
    });
    record.routes.retain(|route| topology.routes.iter().any(|wanted| RecordedRoute::new(wanted) == *route));
    record.sysctls.retain(|sysctl| topology.sysctls.iter().any(|wanted| sysctl.is(wanted)));
    let judged = |place: &Place| {
        let in_place =
            |cable: &crate::topology::Cable| cable.policy.is_some() && cable.ends[0].link.place == *place;
        topology.cables.iter().any(in_place)
    };
    record.programs.retain(|place, programs| {
        let present = programs.last().copied().filter(|_| judged(place));
        // Of the others those are known for as long as a filter may hold them.
        programs.retain(|ids| Some(*ids) == present || netns_ebpf::are_loaded(*ids));
        !programs.is_empty()
    });
    record.ways_out.retain(|known| topology.ways_out.iter().any(|way| known.is(way.bridge.name)));
    record.commands.retain(|started| {
        let is = |wanted: &crate::topology::ShellCommand| {
            wanted.namespace == started.namespace && wanted.command == started.command
        };
        topology.commands.iter().any(is)
    });
}
