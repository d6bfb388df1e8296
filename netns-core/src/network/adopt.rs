//! Taking over the network of a process that is gone.
//!
//! What lives of it is the first bridge and the sandboxes on it that somebody holds. Who holds one cannot be asked; the
//! kernel says which id a namespace has in the bridge's namespace, so the named namespaces and those of the processes are
//! gone through once. A sandbox that is held by something else, a descriptor somewhere, is left alone: its number is free
//! again when the kernel has reclaimed it.

use super::Network;
use super::claim::Claim;
use super::fabric::Fabric;
use super::program::PortProgram;
use super::recorded::{NetworkRecord, RecordedNetwork, RecordedPort, named_sandboxes};
use super::requests::{Programs, Recipe, encode_programs};
use super::sandbox::{Inside, Sandbox};
use super::shared::Shared;
use crate::bridge::{self, PortOptions};
use crate::wire::Batch;
use crate::{
    Error, ErrorKind, Namespace, NamespaceId, Operation, Result, RouteSocket, SystemCall, link, nsid,
};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::Arc;

/// A namespace that is a sandbox's, by its number, and its name if it has one.
type Held = HashMap<u32, (Namespace, Option<String>)>;

impl RecordedNetwork {
    /// Takes over the network of a process that is gone, in the namespace of the calling thread: the network, and those of
    /// its sandboxes that a name or a process holds, by number. They keep their addresses, ports and names.
    ///
    /// Further bridges ([`super::NetworkOptions::per_bridge`]) were held by the process that is gone, and sandboxes on them
    /// have lost their network with it. While a network has no process, its sandboxes reach each other and the host as far
    /// as they know each other's MAC addresses, since nobody answers for those.
    ///
    /// A network that was made with a program on its ports is opened with one, which takes the place of the former on each
    /// port, atomically, and gives each its slot; from the first frame on, one of both sees it.
    ///
    /// # Errors
    /// If a process that is alive has it, it is in another namespace, its bridge is gone, a program is missing or in
    /// excess, or the kernel refuses. Then it is left as it was.
    ///
    /// A barrier behind the ports is replaced when all of them have the new program: until then, what a port sends that has
    /// it already is dropped.
    pub fn open(&self, program: Option<Arc<dyn PortProgram>>) -> Result<(Network, Vec<Sandbox>)> {
        let refused =
            |why: &str| Error::invalid(Operation::OpenNetwork, self.plan.name.to_string(), why.to_owned());
        if program.is_some() != self.has_program {
            return Err(refused(if self.has_program {
                "it was made with a program on its ports, and is opened with one"
            } else {
                "it was made without a program on its ports"
            }));
        }
        let file =
            self.lock(Operation::OpenNetwork)?.ok_or_else(|| refused("it is not on record any more"))?;
        let record = NetworkRecord::of(file, self.namespace);
        let home = Namespace::current()?;
        let home_id = home.id()?;
        let mut options = self.options.clone();
        options.program = program;
        let sysctls = Recipe::sysctls(&options)?;
        let reopened = Fabric::reopen(home, &self.plan, &options)?;
        let recipe = Recipe::new(self.plan, &options, reopened.0.has_ipv6(), sysctls);
        let shared = Arc::new(Shared::assemble(home_id, &options, recipe, reopened, Some(record), false));
        shared.introduce_bridge()?;
        // Until everything is taken over, what is dropped is left as it is.
        let (sandboxes, others) = self.adopt(&shared)?;
        // What the new programs mark passes from now on; until now it was dropped.
        let stamp = shared.program.as_ref().and_then(|program| program.stamp());
        shared.place(0)?.replace_barrier(&self.plan, stamp)?;
        shared.reopen_way_out(&options, &sandboxes)?;
        shared.own();
        // Their numbers wait for the kernel.
        drop(others);
        Ok((Network { shared }, sandboxes))
    }

    /// Takes over the sandboxes; the claims are of those that nobody who can be found holds. The kernel's notices are
    /// listened to by now, so one that goes meanwhile is noticed.
    fn adopt(&self, shared: &Arc<Shared>) -> Result<(Vec<Sandbox>, Vec<Claim>)> {
        let mut socket = RouteSocket::open()?;
        let ports = self.ports_by_id(&link::list(&mut socket)?);
        let mut held = held(&mut socket, &ports)?;
        let mut ports: Vec<RecordedPort> = ports.into_values().collect();
        ports.sort_unstable_by_key(|port| port.number);
        let (mut sandboxes, mut others) = (Vec::with_capacity(held.len()), Vec::new());
        for port in ports {
            match held.remove(&port.number) {
                Some((namespace, name)) => {
                    let claim = Claim::adopt(shared, port);
                    sandboxes.push(take_over(shared, claim, &namespace, name)?);
                }
                // Its port is not deleted, no matter who made the namespace.
                None => others.push(Claim::adopt(shared, RecordedPort { lent: false, ..port })),
            }
        }
        Ok((sandboxes, others))
    }
}

/// The namespaces of sandboxes that names or processes hold. A named one is found by its name, even if
/// processes are in it.
fn held(home: &mut RouteSocket, ports: &HashMap<i32, RecordedPort>) -> Result<Held> {
    let mut held = Held::new();
    for (port, namespace, name) in named_sandboxes(home, ports)? {
        // The name of a namespace that somebody else made is theirs.
        held.entry(port.number).or_insert((namespace, Some(name).filter(|_| !port.lent)));
    }
    let mut seen: HashSet<NamespaceId> = HashSet::new();
    let processes = fs::read_dir("/proc").map_err(Error::system(
        Operation::ListProcesses,
        "/proc",
        SystemCall::Readdir,
    ))?;
    for process in processes.filter_map(Result::<_, std::io::Error>::ok) {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let namespace = match Namespace::of_pid(pid) {
            // It is gone by now, or nothing of ours.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Permission) => continue,
            other => other?,
        };
        if seen.insert(namespace.id()?) {
            let port = nsid::get(home, &namespace)?.and_then(|id| ports.get(&id));
            if let Some(port) = port {
                held.entry(port.number).or_insert((namespace, None));
            }
        }
    }
    Ok(held)
}

fn take_over(
    shared: &Arc<Shared>,
    claim: Claim,
    namespace: &Namespace,
    name: Option<String>,
) -> Result<Sandbox> {
    let number = claim.number();
    let mut inside = Inside::new(Arc::clone(shared), RouteSocket::open_in(namespace)?);
    inside.name = name.map(String::into_boxed_str);
    let mut slot = None;
    if let Some(program) = &shared.program {
        let given = program.assign(&shared.recipe.port_info(number))?;
        shared.books().ledger.set_slot(claim.ticket, given);
        let programs = Programs { ingress: program.ingress(), egress: program.egress(), slot: given };
        let mut batch = Batch::new();
        let port = shared.recipe.plan.port(number);
        encode_programs(&mut batch, port, programs, true);
        let group_fwd_mask = shared.recipe.port.group_fwd_mask;
        if group_fwd_mask.is_some() {
            // It had none, if its program had no barrier.
            bridge::encode_set_port(&mut batch, port, &PortOptions { group_fwd_mask, ..PortOptions::NONE });
        }
        shared.place(number)?.socket().execute(&mut batch)?;
        slot = Some(given);
    }
    Ok(Sandbox { claim, slot, inside })
}
