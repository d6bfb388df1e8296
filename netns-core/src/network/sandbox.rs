//! A namespace with an interface, an address and a port, ready to run something in.

use super::claim::Claim;
use super::plan::Plan;
use super::program::PortInfo;
use super::shared::Shared;
use crate::{Error, IpNet, MacAddress, Namespace, Operation, Result, RouteSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command};
use std::sync::{Arc, OnceLock};

/// A sandbox of a [`super::Network`].
///
/// What holds it is one descriptor: a route socket inside, at [`Sandbox::socket`]'s disposal. Dropping the sandbox
/// closes it, which takes microseconds; the kernel then takes the namespace apart, its port and programs included, as
/// soon as no process and no other descriptor holds it either. A process that ends in any way, `SIGKILL` included,
/// leaves nothing of its sandboxes, except for the names of named ones.
///
/// Dropping a named one removes its name, if that still is the name of this namespace and not of one that somebody
/// called the same since. A name that cannot be removed is left, and [`super::Network::reclaiming`] and
/// [`super::Network::wait_reclaimed`] try again and return the error.
#[derive(Debug)]
pub struct Sandbox {
    // Dropped in this order: the number is waiting for the kernel's notice before the descriptors are closed.
    pub(super) claim: Claim,
    pub(super) slot: Option<u16>,
    pub(super) inside: Inside,
}

/// A new namespace: what holds it, and its name.
#[derive(Debug)]
pub(super) struct Inside {
    shared: Arc<Shared>,
    pub(super) name: Option<Box<str>>,
    /// There until it is dropped.
    socket: Option<RouteSocket>,
    /// A descriptor of the namespace, once somebody has asked for it.
    namespace: OnceLock<Namespace>,
}

impl Inside {
    pub(super) const fn new(shared: Arc<Shared>, socket: RouteSocket) -> Self {
        Self { shared, name: None, socket: Some(socket), namespace: OnceLock::new() }
    }

    /// Another descriptor of the namespace.
    fn namespace(&self) -> Result<Namespace> {
        self.socket.as_ref().expect("it is there until it is dropped").namespace()
    }

    pub(super) const fn socket(&mut self) -> &mut RouteSocket {
        self.socket.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // The name first: while the socket is open, the namespace is this one.
        if let (Some(name), Some(socket)) = (self.name.take(), self.socket.take()) {
            self.shared.remove_name(name, socket);
        }
    }
}

impl Sandbox {
    fn plan(&self) -> &Plan {
        &self.claim.shared().recipe.plan
    }

    /// The namespace. The first call takes a system call and a descriptor, which stays with the sandbox.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn namespace(&self) -> Result<&Namespace> {
        if let Some(namespace) = self.inside.namespace.get() {
            return Ok(namespace);
        }
        let opened = self.inside.namespace()?;
        Ok(self.inside.namespace.get_or_init(|| opened))
    }

    /// The namespace as a descriptor, to be handed to another process.
    ///
    /// # Errors
    /// As [`Sandbox::namespace`].
    pub fn namespace_fd(&self) -> Result<BorrowedFd<'_>> {
        self.namespace().map(Namespace::as_fd)
    }

    /// The name of a named sandbox's namespace.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.inside.name.as_deref()
    }

    /// Gives the namespace of a sandbox without a name one, as [`Namespace::bind`] does. The name goes with the sandbox.
    ///
    /// # Errors
    /// If it has a name, or is a namespace that somebody else made; as [`Namespace::bind`]. It then has no name.
    pub fn bind(&mut self, name: &str) -> Result<()> {
        let refused = |why: &'static str| Err(Error::invalid(Operation::NameNamespace, name, why));
        if let Some(present) = self.name() {
            let why = format!("it is called {present} already");
            return Err(Error::invalid(Operation::NameNamespace, name, why));
        }
        if self.claim.lent {
            return refused("the namespace is somebody else's");
        }
        self.claim.shared().check_process(Operation::NameNamespace)?;
        self.namespace()?.bind(name)?;
        self.inside.name = Some(name.into());
        Ok(())
    }

    /// Its number in the network. When it is dropped and the kernel has reclaimed it, another gets the same number,
    /// and with it the same addresses.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.claim.number()
    }

    /// The IPv4 address of its `eth0`, with the prefix of the subnet.
    #[must_use]
    pub fn address_v4(&self) -> Option<IpNet> {
        self.plan().address_v4(self.number())
    }

    /// The IPv6 address of its `eth0`, with the prefix of the subnet.
    #[must_use]
    pub fn address_v6(&self) -> Option<IpNet> {
        self.plan().address_v6(self.number())
    }

    /// The MAC address of its `eth0`.
    #[must_use]
    pub fn mac(&self) -> MacAddress {
        self.plan().mac(self.number())
    }

    /// Its port, on the host.
    #[must_use]
    pub fn port(&self) -> PortInfo {
        self.claim.shared().recipe.port_info(self.number())
    }

    /// The namespace that its port and its bridge are in: the network's own for the first
    /// [`super::NetworkOptions::per_bridge`] numbers, one of the bridge's for the others.
    ///
    /// # Errors
    /// None that can happen to a sandbox that was made.
    pub fn port_namespace(&self) -> Result<&Namespace> {
        self.claim.shared().place(self.number()).map(|place| &place.namespace)
    }

    /// The index of the bridge that its port is on.
    #[must_use]
    pub fn bridge(&self) -> u32 {
        self.plan().bridge(self.plan().shard(self.number()))
    }

    /// Its slot in the program's arrays, if the network has a program.
    #[must_use]
    pub const fn slot(&self) -> Option<u16> {
        self.slot
    }

    /// The route socket inside, for more addresses, routes and links.
    #[must_use]
    pub const fn socket(&mut self) -> &mut RouteSocket {
        self.inside.socket()
    }

    /// Runs `f` with the calling thread inside: see [`Namespace::enter`].
    ///
    /// # Errors
    /// As [`Namespace::enter`] and [`Sandbox::namespace`].
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> Result<R> {
        self.namespace()?.enter(f)
    }

    /// Starts a command inside. The process keeps the namespace alive, and with it the sandbox's addresses.
    ///
    /// # Errors
    /// As [`Namespace::spawn`] and [`Sandbox::namespace`].
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.namespace()?.spawn(command)
    }

    /// As [`Sandbox::spawn`], with a `/etc/resolv.conf` of the command's own that names the network's resolvers
    /// ([`super::NetworkOptions::resolvers`]): where the host's names 127.0.0.53 or the like, nobody answers there inside.
    /// It costs a thread and some mounts: see [`Namespace::spawn_with_resolv_conf`], also for what such a command cannot have.
    ///
    /// # Errors
    /// If the network has no resolvers; as [`Namespace::spawn_with_resolv_conf`] and [`Sandbox::namespace`].
    pub fn spawn_resolving(&self, command: &mut Command) -> Result<Child> {
        let mut text = String::new();
        for resolver in &self.claim.shared().resolvers {
            text.push_str("nameserver ");
            text.push_str(&resolver.to_string());
            text.push('\n');
        }
        if text.is_empty() {
            let program = command.get_program().to_string_lossy().into_owned();
            return Err(Error::invalid(
                Operation::RunCommand,
                program,
                "the network has no resolvers (NetworkOptions::resolvers)",
            ));
        }
        self.namespace()?.spawn_with_resolv_conf(command, &text)
    }
}
