//! Operations of the library as a program: so they are refused and killed as commands are.

use netns::Failure;
use netns::messages::say;
use netns_core::network::{Network, NetworkOptions, Pool, PoolOptions, PortProgram, RecordedNetwork};
use netns_core::{IfName, Namespace};
use netns_ebpf::{Monitor, MonitorOptions};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The network's and its bridge's name.
const NAME: &str = "library";
/// The name of a sandbox that has one.
const SANDBOX: &str = "one";
/// How long the kernel may take to reclaim a sandbox.
const LIMIT: Duration = Duration::from_secs(10);

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs one of them.
pub(super) fn run(name: &str) -> Result<(), Failure> {
    let done = match name {
        "network" => network(|_| Ok(())),
        "sandbox" => network(|network| Ok(drop(network.create_sandbox()?))),
        "delete" => network(|network| Ok(network.delete([network.create_sandbox()?])?)),
        "named" => network(|network| Ok(drop(network.create_named_sandbox(SANDBOX)?))),
        "further" => network(|network| Ok(drop((network.create_sandbox()?, network.create_sandbox()?)))),
        "lent" => network(|network| Ok(drop(network.create_sandbox_in(&Namespace::open("lent")?)?))),
        "judged" => judge().and_then(|program| {
            with(&options(Some(program))?, |network| Ok(drop(network.create_named_sandbox(SANDBOX)?)))
        }),
        "pool" => network(|network| {
            let pool = Pool::start(network, PoolOptions::new(2))?;
            Ok(drop(pool.acquire()?))
        }),
        "abandon" => abandon(None),
        "abandon-judged" => judge().and_then(|program| abandon(Some(program))),
        "adopt" => adopt(None),
        "adopt-judged" => judge().and_then(|program| adopt(Some(program))),
        "remove" => remove(),
        _ => return Err(Failure::usage(format!("the library has no operation {name}"))),
    };
    done.map_err(|error| Failure::Kernel(error.to_string()))
}

fn options(program: Option<Arc<dyn PortProgram>>) -> Outcome<NetworkOptions> {
    Ok(NetworkOptions {
        subnet_v4: Some("10.97.0.0/24".parse()?),
        subnet_v6: Some("fd97::/64".parse()?),
        per_bridge: 1,
        program,
        ..NetworkOptions::new(IfName::new(NAME)?)
    })
}

fn judge() -> Outcome<Arc<dyn PortProgram>> {
    let options = MonitorOptions { barrier: true, ..MonitorOptions::default() };
    Ok(Arc::new(Monitor::load(&options)?))
}

/// Makes a network, does something with it, and drops it.
fn network(work: impl FnOnce(&Network) -> Outcome) -> Outcome {
    with(&options(None)?, work)
}

fn with(options: &NetworkOptions, work: impl FnOnce(&Network) -> Outcome) -> Outcome {
    let network = Network::create(options)?;
    let done = work(&network);
    finish(network, done)
}

/// Waits for what was dropped, and drops the network. Of several errors the first is returned, the others are printed.
fn finish(network: Network, done: Outcome) -> Outcome {
    let reclaimed = network.wait_reclaimed(LIMIT).map_err(Into::into);
    drop(network);
    let left = match RecordedNetwork::list(RecordedNetwork::FOLDER) {
        Ok(networks) if networks.is_empty() => Ok(()),
        Ok(_) => Err(format!("the network {NAME} could not be removed, and is on record").into()),
        Err(error) => Err(error.into()),
    };
    let mut outcome = done;
    for next in [reclaimed, left] {
        match (&outcome, next) {
            (Err(_), Err(error)) => say(format_args!("and {error}")),
            (Ok(()), next) => outcome = next,
            (Err(_), Ok(())) => {}
        }
    }
    outcome
}

/// Leaves a network with two sandboxes, one of which has a name, as a process does that is killed.
fn abandon(program: Option<Arc<dyn PortProgram>>) -> Outcome {
    let network = Network::create(&NetworkOptions { per_bridge: 8, ..options(program)? })?;
    let sandboxes = (network.create_named_sandbox(SANDBOX)?, network.create_sandbox()?);
    std::mem::forget((network, sandboxes));
    Ok(())
}

fn adopt(program: Option<Arc<dyn PortProgram>>) -> Outcome {
    for recorded in RecordedNetwork::list(RecordedNetwork::FOLDER)? {
        let (network, sandboxes) = recorded.open(program.clone())?;
        drop(sandboxes);
        finish(network, Ok(()))?;
    }
    Ok(())
}

/// Removes what a process that was killed left.
fn remove() -> Outcome {
    for left in RecordedNetwork::remove_all(RecordedNetwork::FOLDER)? {
        say(format_args!("left alone: {left}"));
    }
    // A name that stands for nothing yet is known to those alone who gave it.
    if Namespace::open(SANDBOX).is_err_and(|error| error.is_invalid_input()) {
        Namespace::delete(SANDBOX)?;
    }
    Ok(())
}
