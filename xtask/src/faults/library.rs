//! Operations of the library as a program, so that they can be refused and killed like commands.

use netns::Failure;
use netns::messages::say;
use netns::signals::Stop;
use netns_core::nat::{PortProtocol, Publication, Redirect};
use netns_core::network::{Network, NetworkOptions, Pool, PoolOptions, PortProgram, RecordedNetwork};
use netns_core::{IfName, Namespace};
use netns_ebpf::{EgressRules, Mode, Monitor, MonitorOptions, NetworkGuard};
use std::error::Error;
use std::mem;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long the kernel may take to reclaim a sandbox.
const LIMIT: Duration = Duration::from_secs(10);

type LibraryResult<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs one of them. With a digit at the end of its name it has names and subnets of its own, to run beside others.
pub(super) fn run(name: &str) -> Result<(), Failure> {
    // Signals interrupt it without ending it.
    let _taken = Stop::on_signals();
    let operation = name.trim_end_matches(|last: char| last.is_ascii_digit());
    let one = Library { number: &name[operation.len()..] };
    let done = match operation {
        "network" => one.network(|_| Ok(())),
        "sandbox" => one.network(|network| closed(network.create_sandbox()?)),
        "delete" => one.network(|network| Ok(network.delete([network.create_sandbox()?])?)),
        "named" => one.network(|network| closed(network.create_named_sandbox(&one.sandbox())?)),
        "further" => one.network(|network| closed((network.create_sandbox()?, network.create_sandbox()?))),
        "lent" => one.network(|network| closed(network.create_sandbox_in(&Namespace::open("lent")?)?)),
        "judged" => one.judged(),
        "egress" => one.egress(),
        "way-out" => one.way_out(),
        "resolving" => one.resolving(),
        "pool" => one.network(|network| {
            let pool = Pool::start(network, PoolOptions::new(2))?;
            closed(pool.acquire()?)
        }),
        "abandon" => one.abandon(None),
        "abandon-judged" => judge().and_then(|program| one.abandon(Some(program))),
        "adopt" => one.adopt(None),
        "adopt-judged" => judge().and_then(|program| one.adopt(Some(&program))),
        "remove" => one.remove(),
        _ => return Err(Failure::usage(format!("the library has no operation {name}"))),
    };
    done.map_err(|error| Failure::Kernel(error.to_string()))
}

/// Drops what was made.
#[expect(clippy::unnecessary_wraps, reason = "it ends operations, which can fail")]
fn closed<T>(made: T) -> LibraryResult {
    drop(made);
    Ok(())
}

fn judge() -> LibraryResult<Arc<dyn PortProgram>> {
    let options = MonitorOptions { barrier: true, ..MonitorOptions::default() };
    Ok(Arc::new(Monitor::load(&options)?))
}

/// What distinguishes one process's objects from others'.
#[derive(Debug, Clone, Copy)]
struct Library<'a> {
    number: &'a str,
}

impl Library<'_> {
    /// The network's and its bridge's name.
    fn name(self) -> String {
        format!("library{}", self.number)
    }

    /// The name of a sandbox that has one.
    fn sandbox(self) -> String {
        format!("one{}", self.number)
    }

    fn options(self, program: Option<Arc<dyn PortProgram>>) -> LibraryResult<NetworkOptions> {
        let number = if self.number.is_empty() { "99" } else { self.number };
        Ok(NetworkOptions {
            subnet_v4: Some(format!("10.97.{number}.0/24").parse()?),
            subnet_v6: Some(format!("fd97:{number}::/64").parse()?),
            per_bridge: 1,
            program,
            ..NetworkOptions::new(IfName::new(&self.name())?)
        })
    }

    /// Makes a network, does something with it, and drops it.
    fn network(self, work: impl FnOnce(&Network) -> LibraryResult) -> LibraryResult {
        self.with(&self.options(None)?, work)
    }

    fn judged(self) -> LibraryResult {
        let options = self.options(Some(judge()?))?;
        self.with(&options, |network| closed(network.create_named_sandbox(&self.sandbox())?))
    }

    /// A sandbox whose egress policy allows an address for a while, and is replaced.
    fn egress(self) -> LibraryResult {
        let options = MonitorOptions {
            barrier: true,
            egress: 1,
            limits: true,
            scopes: true,
            ..MonitorOptions::default()
        };
        let monitor = Arc::new(Monitor::load(&options)?);
        let rules = EgressRules::new().with("deny any tcp/25".parse()?);
        let policy = monitor.add_egress(&rules)?;
        let guard = NetworkGuard::new(monitor.clone(), Mode::Enforce).with_egress(policy);
        let options = self.options(Some(Arc::new(guard)))?;
        self.with(&options, |network| {
            let sandbox = network.create_sandbox()?;
            monitor.allow_egress_for(policy, &["203.0.113.7".parse()?], LIMIT)?;
            monitor.replace_egress(policy, &rules.clone().refusing_others())?;
            closed(sandbox)
        })
    }

    /// A network with a way out, and ports that are published, then withdrawn explicitly and with their sandbox.
    fn way_out(self) -> LibraryResult {
        let options = NetworkOptions {
            masquerade: true,
            redirects: vec![Redirect::tcp(443, 8443)],
            ..self.options(None)?
        };
        self.with(&options, |network| {
            let sandbox = network.create_sandbox()?;
            let inside = sandbox.address_v4().ok_or("no IPv4 address")?.address();
            let published = |port| Publication::new(PortProtocol::Tcp, port, (inside, 80).into());
            network.publish(&sandbox, &published(8080))?;
            network.publish(&sandbox, &published(8081))?;
            network.withdraw(&sandbox, &published(8080))?;
            network.restore_way_out()?;
            closed(sandbox)
        })
    }

    /// A command in a sandbox that resolves names by the network's resolvers.
    fn resolving(self) -> LibraryResult {
        let options = NetworkOptions { resolvers: vec!["192.0.2.2".parse()?], ..self.options(None)? };
        self.with(&options, |network| {
            let sandbox = network.create_sandbox()?;
            let status = sandbox.spawn_resolving(&mut Command::new("true"))?.wait()?;
            if status.success() { closed(sandbox) } else { Err(format!("true: {status}").into()) }
        })
    }

    fn with(self, options: &NetworkOptions, work: impl FnOnce(&Network) -> LibraryResult) -> LibraryResult {
        let network = Network::create(options)?;
        let done = work(&network);
        self.finish(network, done)
    }

    /// Waits for what was dropped, and drops the network. Of several errors the first is returned, the others are printed.
    fn finish(self, network: Network, done: LibraryResult) -> LibraryResult {
        let reclaimed = network.wait_reclaimed(LIMIT).map_err(Into::into);
        drop(network);
        let left = match RecordedNetwork::list(RecordedNetwork::FOLDER) {
            Ok(networks) if networks.iter().all(|one| one.name().as_str() != self.name()) => Ok(()),
            Ok(_) => {
                Err(format!("the network {} could not be removed, and is on record", self.name()).into())
            }
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

    /// Leaves a network with two sandboxes, one of them named, as a killed process does.
    fn abandon(self, program: Option<Arc<dyn PortProgram>>) -> LibraryResult {
        let network = Network::create(&NetworkOptions { per_bridge: 8, ..self.options(program)? })?;
        mem::forget((network.create_named_sandbox(&self.sandbox())?, network.create_sandbox()?));
        mem::forget(network);
        Ok(())
    }

    fn adopt(self, program: Option<&Arc<dyn PortProgram>>) -> LibraryResult {
        for recorded in RecordedNetwork::list(RecordedNetwork::FOLDER)? {
            let (network, sandboxes) = recorded.open(program.cloned())?;
            drop(sandboxes);
            self.finish(network, Ok(()))?;
        }
        Ok(())
    }

    /// Removes what a killed process left.
    fn remove(self) -> LibraryResult {
        for left in RecordedNetwork::remove_all(RecordedNetwork::FOLDER)? {
            say(format_args!("left alone: {left}"));
        }
        // Only its maker knows a name that stands for nothing yet.
        if Namespace::open(&self.sandbox()).is_err_and(|error| error.is_invalid_input()) {
            Namespace::delete(&self.sandbox())?;
        }
        Ok(())
    }
}
