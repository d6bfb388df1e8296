//! The way out of a network's sandboxes, opened and closed, and ports that are published.

use super::Network;
use super::options::NetworkOptions;
use super::sandbox::Sandbox;
use super::shared::Shared;
use super::way_out::{nat_options, table_name};
use crate::error::{Cause, Operation};
use crate::nat::{self, ForwardBlock, ForwardingNeeds, Nat, Publication, Published};
use crate::record::undo_twice;
use crate::route::RouteNotices;
use crate::{Error, Result};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The owner of a sandbox's ports.
fn owner(number: u32) -> String {
    format!("sandbox {number}")
}

impl Shared {
    /// Lets the sandboxes out: the rules first, then the host's settings. What is left of a failure goes with the network.
    pub(super) fn open_way_out(&self, options: &NetworkOptions) -> Result<()> {
        let plan = &self.recipe.plan;
        let Some(record) = self.record().filter(|_| options.masquerade) else { return Ok(()) };
        let nat = Nat::create(self.home(), &table_name(plan), nat_options(plan, options))?;
        self.way_out.nat.get_or_init(|| Mutex::new(nat));
        self.open_blocks(options)?;
        record.claim_forwarding(self.home())
    }

    fn open_blocks(&self, options: &NetworkOptions) -> Result<()> {
        self.way_out.leads.get_or_init(|| (options.uplinks.clone(), options.publish_on_loopback));
        self.way_out.opens.store(options.open_forward_chains, Ordering::Relaxed);
        if let Some(mut nat) = self.way_out.nat().filter(|_| options.open_forward_chains) {
            nat.open_blocks(self.recipe.plan.name)?;
        }
        Ok(())
    }

    /// Has the host forward for links that have become the way out, and whether there was anything to do. Unless routes
    /// changed since the last call, nothing is looked at but whether they did.
    fn follow_routes(&self) -> Result<bool> {
        let Some(record) = self.record() else { return Ok(false) };
        let Some((uplinks, loopback)) = self.way_out.leads.get() else { return Ok(false) };
        let mut routes = self.way_out.routes.lock().unwrap_or_else(PoisonError::into_inner);
        // Opened, or read, before the look, so that no change is missed after it.
        let is_changed = if let Some(notices) = &mut *routes {
            notices.is_changed()?
        } else {
            *routes = Some(self.home().enter(RouteNotices::open)??);
            true
        };
        if !is_changed {
            return Ok(false);
        }
        let plan = &self.recipe.plan;
        let needs = ForwardingNeeds {
            bridge: plan.name,
            uplinks: uplinks.as_deref(),
            ipv4: plan.v4.is_some(),
            ipv6: plan.v6.is_some(),
            loopback: *loopback,
        };
        let followed = record.follow_routes(self.home(), &needs);
        if followed.is_err() {
            // The next call looks again.
            *routes = None;
        }
        followed
    }

    /// See [`Network::restore_way_out`].
    pub(super) fn restore_way_out(&self) -> Result<bool> {
        let Some(mut nat) = self.way_out.nat() else { return Ok(false) };
        let whole = nat.is_whole()?;
        if !whole {
            nat.restore()?;
        }
        let followed = self.follow_routes()?;
        if !self.way_out.opens.load(Ordering::Relaxed) {
            return Ok(!whole || followed);
        }
        let bridge = self.recipe.plan.name;
        let closed = nat.blocks(bridge)?.iter().any(ForwardBlock::can_be_opened);
        if closed {
            nat.open_blocks(bridge)?;
        }
        Ok(!whole || followed || closed)
    }

    /// Takes over the way out that a process which is gone made, with what is published of the sandboxes that are
    /// still there.
    pub(super) fn reopen_way_out(&self, options: &NetworkOptions, sandboxes: &[Sandbox]) -> Result<()> {
        let plan = &self.recipe.plan;
        let Some(record) = self.record().filter(|_| options.masquerade) else { return Ok(()) };
        let nat = Nat::replace(self.home(), &table_name(plan), nat_options(plan, options), |published| {
            sandboxes.iter().any(|sandbox| owner(sandbox.number()) == published.owner)
        })?;
        self.way_out.used.store(true, Ordering::Relaxed);
        self.way_out.nat.get_or_init(|| Mutex::new(nat));
        self.open_blocks(options)?;
        record.claim_forwarding(self.home())
    }

    /// Puts the host's settings back, and then takes the rules away.
    pub(super) fn close_way_out(&self) -> Result<()> {
        if self.way_out.nat.get().is_none() {
            return Ok(());
        }
        if let Some(record) = self.record() {
            undo_twice(|| record.release_forwarding(self.home()))?;
        }
        undo_twice(|| nat::remove(self.home(), &table_name(&self.recipe.plan))).map(drop)
    }

    /// Withdraws what is published of a sandbox that is about to go: its address will be another's.
    pub(super) fn withdraw_of(&self, number: u32) {
        if !self.way_out.used.load(Ordering::Relaxed) {
            return;
        }
        // Unlocked again before `left` is locked, which comes first elsewhere.
        let withdraw = |nat: &mut Nat| undo_twice(|| nat.withdraw_ours(&owner(number)));
        let outcome = self.way_out.nat().map(|mut nat| withdraw(&mut nat));
        if let Some(Err(_)) = outcome {
            self.way_out.left().push(number);
        }
    }

    /// Withdraws what is still published of the sandbox that had a number before it is another's.
    ///
    /// # Errors
    /// Why that cannot be: what is published would lead to the new sandbox.
    pub(super) fn withdraw_before(&self, number: u32) -> Result<()> {
        if !self.way_out.used.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut left = self.way_out.left();
        let (Some(at), Some(mut nat)) = (left.iter().position(|&one| one == number), self.way_out.nat())
        else {
            return Ok(());
        };
        nat.withdraw_ours(&owner(number))?;
        left.swap_remove(at);
        Ok(())
    }

    /// Tries again to withdraw ports of sandboxes that are gone.
    ///
    /// # Errors
    /// Why those of one cannot be withdrawn now.
    pub(super) fn withdraw_left(&self) -> Result<()> {
        let mut left = self.way_out.left();
        while let Some(&number) = left.last() {
            let Some(mut nat) = self.way_out.nat() else { return Ok(()) };
            nat.withdraw_ours(&owner(number))?;
            left.pop();
        }
        Ok(())
    }
}

impl Network {
    /// Publishes ports of the host that lead to a sandbox: see [`Nat::publish`]. They are withdrawn when the sandbox is
    /// dropped.
    ///
    /// ```no_run
    /// use netns_core::IfName;
    /// use netns_core::nat::{PortProtocol, Publication};
    /// use netns_core::network::{Network, NetworkOptions};
    ///
    /// let options = NetworkOptions {
    ///     subnet_v4: Some("10.99.0.0/16".parse()?),
    ///     masquerade: true,
    ///     ..NetworkOptions::new(IfName::new("sandboxes")?)
    /// };
    /// let network = Network::create(&options)?;
    /// let sandbox = network.create_sandbox()?;
    /// let web = (sandbox.address_v4().unwrap().address(), 80).into();
    /// network.publish(&sandbox, &Publication::new(PortProtocol::Tcp, 8080, web))?;
    /// # Ok::<(), netns_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Nat::publish`]; if it does not lead to an address of the sandbox, or the network has no way out
    /// ([`NetworkOptions::masquerade`]).
    pub fn publish(&self, sandbox: &Sandbox, publication: &Publication) -> Result<()> {
        let mut nat = self.nat(sandbox, publication, Operation::PublishPort)?;
        self.shared.way_out.used.store(true, Ordering::Relaxed);
        nat.publish(publication, &owner(sandbox.number()))
    }

    /// Withdraws ports that lead to a sandbox: see [`Nat::withdraw`].
    ///
    /// # Errors
    /// As [`Nat::withdraw`] and [`Network::publish`].
    pub fn withdraw(&self, sandbox: &Sandbox, publication: &Publication) -> Result<()> {
        self.nat(sandbox, publication, Operation::UnpublishPort)?
            .withdraw(publication, &owner(sandbox.number()))
    }

    /// Every port that is published, by itself.
    ///
    /// # Errors
    /// `ENOENT` if somebody took the rules away: [`Network::restore_way_out`].
    pub fn published(&self) -> Result<Vec<Published>> {
        self.shared.check_process(Operation::PublishPort)?;
        self.shared.way_out.nat().map_or_else(|| Ok(Vec::new()), |mut nat| nat.published())
    }

    /// Makes the rules of the way out anew with all that is published, if somebody took them away or changed them (`nft flush
    /// ruleset`, a firewall that was started again), and has the host forward for links that have become the way out since (a
    /// default route that moved, a VPN), unless [`NetworkOptions::uplinks`] names them; whether there was anything to do. While
    /// the rules were away the sandboxes could send under their own addresses, and could be sent to. Unless somebody changed
    /// rules or routes of the host since the last call, it costs two system calls; with
    /// [`NetworkOptions::open_forward_chains`] those chains are looked at each time.
    ///
    /// The threads of a [`super::Pool`] call it once a second; otherwise it is called by nobody but the caller.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn restore_way_out(&self) -> Result<bool> {
        self.shared.check_process(Operation::MakeNat)?;
        self.shared.restore_way_out()
    }

    /// The chains of others that drop what comes from the sandboxes or goes to them: [`Nat::blocks`].
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn forward_blocks(&self) -> Result<Vec<ForwardBlock>> {
        self.shared.check_process(Operation::LookAtChains)?;
        let nat = self.shared.way_out.nat();
        nat.map_or_else(|| Ok(Vec::new()), |mut nat| nat.blocks(self.shared.recipe.plan.name))
    }

    fn nat(
        &self,
        sandbox: &Sandbox,
        publication: &Publication,
        operation: Operation,
    ) -> Result<MutexGuard<'_, Nat>> {
        self.shared.check_process(operation)?;
        let refused =
            |why: &'static str| Error::new(operation, publication.to_string(), Cause::Invalid(why.into()));
        if !Arc::ptr_eq(sandbox.claim.shared(), &self.shared) {
            return Err(refused("the sandbox is another network's"));
        }
        let mut addresses = self.shared.recipe.plan.addresses(sandbox.number());
        if addresses.all(|net| net.address() != publication.to.ip()) {
            return Err(refused("it does not lead to an address of the sandbox"));
        }
        self.shared.withdraw_left()?;
        self.shared
            .way_out
            .nat()
            .ok_or_else(|| refused("the network was made without a way out (masquerade)"))
    }
}
