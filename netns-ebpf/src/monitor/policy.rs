//! What ports may send: written where the program reads it, by plain stores.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use netns_core::MacAddress;

use super::mapped::MappedArray;
use super::{EgressPolicy, Limits, Monitor, MonitorError, Slot, kernel_types, turn};
use crate::layout::{MAX_GROUPS, NO_SLOT, PortRules, Violations, control};
use crate::packet::{Permissions, Reason, Rules, RulesFull};

/// What is done about a frame that its port may not send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It is counted and reported, and passes.
    #[default]
    Observe,
    /// It is counted, reported and dropped.
    ///
    /// This alone does not hold against root inside a namespace who can make an `ifb` device, for which root of a user
    /// namespace is enough: what comes back from one passes the port unseen. With
    /// [`MonitorOptions::barrier`](super::MonitorOptions::barrier) it is dropped all the same.
    Enforce,
}

impl Mode {
    const fn bits(self) -> u32 {
        match self {
            Self::Observe => control::OBSERVE,
            Self::Enforce => control::ENFORCE,
        }
    }
}

/// What a port may send, and what is done about the rest; and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What its frames may be.
    pub rules: Rules,
    /// What is done about others.
    pub mode: Mode,
    /// The group it is in, below [`MAX_GROUPS`].
    pub group: u8,
    /// How much may pass the port, both ways, whatever the mode: as [`Monitor::set_limits`] says it, which is for ports that
    /// are not judged.
    pub limits: Limits,
    /// Where it may send to, by the same mode: as [`Monitor::set_egress`] says it, which is for ports that are not judged. `None`
    /// for everywhere.
    pub egress: Option<EgressPolicy>,
}

impl Policy {
    /// Rules that are observed, in group 0.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self { rules, mode: Mode::Observe, group: 0, limits: Limits::NONE, egress: None }
    }

    /// Rules of a host that has these addresses, observed, in group 0: it sends from them and from its link-local address
    /// (`fe80::` made of the MAC address), and as a DHCP client.
    ///
    /// ```no_run
    /// use netns_core::MacAddress;
    /// use netns_ebpf::{Monitor, Policy};
    ///
    /// let monitor = Monitor::load(&Default::default())?;
    /// let slot = monitor.assign(7)?;
    /// let policy = Policy::of_host(MacAddress::local(1), &["10.1.1.1".parse()?, "fd00::1".parse()?])?;
    /// monitor.set_policy(slot, &policy.enforced())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`RulesFull`] if those are more addresses of a family than rules have room for ([`NETS`](crate::packet::NETS), the
    /// link-local one included).
    pub fn of_host(mac: MacAddress, addresses: &[IpAddr]) -> Result<Self, RulesFull> {
        let own = Rules::new(mac.0).permitting(Permissions::DHCP_CLIENT);
        let rules = addresses.iter().try_fold(own, |rules, &address| match address {
            IpAddr::V4(address) => rules.with_ipv4(address, 32),
            IpAddr::V6(address) => rules.with_ipv6(address, 128),
        });
        rules.map(Self::new)
    }

    /// Of a port that may send nothing, enforced: what a port gets to which no policy applies, where that is not to mean
    /// that everything passes. Each of its frames is dropped for the reason [`Reason::Closed`]; what others send to it
    /// arrives.
    #[must_use]
    pub const fn closed() -> Self {
        Self::new(Rules::closed()).enforced()
    }

    /// The same, enforced.
    #[must_use]
    pub const fn enforced(self) -> Self {
        Self { mode: Mode::Enforce, ..self }
    }
}

const RULE_WORDS: usize = size_of::<Rules>() / size_of::<u64>();
pub(super) const PORT_AT: usize = std::mem::offset_of!(PortRules, ifindex) / size_of::<u64>();
const RULES_AT: usize = std::mem::offset_of!(PortRules, rules) / size_of::<u64>();

/// The mapped arrays of validation.
#[derive(Debug)]
pub(super) struct Validation {
    pub(super) policies: MappedArray,
    pub(super) violations: MappedArray,
    pub(super) groups: MappedArray,
}

impl Validation {
    /// Forgets what was of a slot.
    pub(super) fn reset(&self, slot: Slot) {
        let slot = usize::from(slot.get());
        self.table().turn_off(slot);
        self.violations.zero(slot);
    }

    /// Makes a slot one of a bridge: what comes to its hook is judged by the rules of the port it came in by. By its own,
    /// nothing is plain, so that every frame is looked at.
    pub(super) fn judge_for_host(&self, slot: Slot) {
        let slot = usize::from(slot.get());
        self.write(slot, &Policy::closed());
        let (active, group) = self.read_control(slot);
        self.write_control(slot, active & !control::MODE | control::HOST, group);
    }

    /// Whether a slot is one of a bridge.
    pub(super) fn is_of_host(&self, slot: Slot) -> bool {
        self.read_control(slot.get().into()).0 & control::MODE == control::HOST
    }

    /// Says which port a slot is of; `None` for no port.
    pub(super) fn set_port(&self, slot: Slot, ifindex: Option<u32>) {
        let [a, b, c, d] = ifindex.unwrap_or(0).to_ne_bytes();
        let word = u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]);
        self.policies.words(slot.get().into())[PORT_AT].store(word, Ordering::Relaxed);
    }

    /// Keeps the programs' mark where a monitor that is opened again finds it.
    pub(super) fn set_stamp(&self, stamp: u32) {
        let [a, b, c, d] = stamp.to_ne_bytes();
        let word = u64::from_ne_bytes([0, 0, 0, 0, a, b, c, d]);
        self.policies.words(NO_SLOT as usize)[PORT_AT].store(word, Ordering::Relaxed);
    }

    /// Adds to the count of a reason, as the program does.
    pub(super) fn count(&self, slot: usize, reason: Reason, packets: u64) {
        self.violations.words(slot)[usize::from(reason.code())].fetch_add(packets, Ordering::Relaxed);
    }

    pub(super) const fn table(&self) -> MappedPolicies<'_> {
        MappedPolicies(&self.policies)
    }

    pub(super) fn stamp(&self) -> u32 {
        self.table().stamp()
    }

    fn write_control(&self, slot: usize, control: u32, group: u32) {
        self.table().write_control(slot, control, group);
    }

    fn read_control(&self, slot: usize) -> (u32, u32) {
        self.table().read_control(slot)
    }

    fn write(&self, slot: usize, policy: &Policy) {
        self.table().write(slot, policy);
    }

    fn policy(&self, slot: Slot) -> Option<Policy> {
        self.table().policy(slot)
    }
}

/// The map of policies, mapped.
pub(super) struct MappedPolicies<'a>(pub(super) &'a MappedArray);

impl MappedPolicies<'_> {
    pub(super) fn stamp(&self) -> u32 {
        let word = self.0.words(NO_SLOT as usize)[PORT_AT].load(Ordering::Relaxed);
        let [.., a, b, c, d] = word.to_ne_bytes();
        u32::from_ne_bytes([a, b, c, d])
    }

    /// The first word: control and group, each half where the layout has it.
    pub(super) fn write_control(&self, slot: usize, control: u32, group: u32) {
        let [a, b, c, d] = control.to_ne_bytes();
        let [e, f, g, h] = group.to_ne_bytes();
        let word = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        // A CPU that sees it sees what was written before.
        self.0.words(slot)[0].store(word, Ordering::Release);
    }

    pub(super) fn read_control(&self, slot: usize) -> (u32, u32) {
        let [a, b, c, d, e, f, g, h] = self.0.words(slot)[0].load(Ordering::Relaxed).to_ne_bytes();
        (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]))
    }

    /// Whether rules can be written to a slot: no program reads those that do not hold.
    pub(super) fn is_free(&self, slot: usize) -> bool {
        turn::is_free(self.read_control(slot).0)
    }

    /// Writes the rules that do not hold, and lets them hold. The slot is free.
    pub(super) fn write(&self, slot: usize, policy: &Policy) {
        let control = self.read_control(slot).0;
        let set = turn::other_set(control);
        let words = self.0.words(slot)[RULES_AT + set * RULE_WORDS..][..RULE_WORDS].iter();
        for (word, value) in words.zip(policy.rules.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        self.write_control(slot, policy.mode.bits() | turn::holding(control, set), policy.group.into());
    }

    /// Waits until every slot is free.
    pub(super) fn settle(&self) -> io::Result<()> {
        turn::settle(self.0, turn::has_policy)
    }

    /// Judges a slot's port no more.
    pub(super) fn turn_off(&self, slot: usize) {
        let control = self.read_control(slot).0;
        self.write_control(slot, control & !control::MODE, 0);
    }

    /// Notes that no program reads any rules of a slot, whose port is gone.
    pub(super) fn forget_readers(&self, slot: usize) {
        let (control, group) = self.read_control(slot);
        self.write_control(slot, turn::settled(control, false), group);
    }

    /// What a slot's port may send; how much, and where to, is in other maps.
    pub(super) fn policy(&self, slot: Slot) -> Option<Policy> {
        let slot = usize::from(slot.get());
        let (control, group) = self.read_control(slot);
        let mode = match control & control::MODE {
            control::OBSERVE => Mode::Observe,
            control::ENFORCE => Mode::Enforce,
            _ => return None,
        };
        let first = RULES_AT + usize::from(control & control::ACTIVE != 0) * RULE_WORDS;
        let words = self.0.words(slot);
        let words = std::array::from_fn(|word| words[first + word].load(Ordering::Relaxed));
        let (rules, group) = (Rules::from_words(words), u8::try_from(group).ok()?);
        Some(Policy { rules, mode, group, limits: Limits::default(), egress: None })
    }
}

impl Monitor {
    /// Says what a port may send: from the next frame on its frames are judged. Of a port that is about to be made it is
    /// said between [`Self::assign`] and the making, so that no frame goes by.
    ///
    /// All of it or, with an error, nothing. Some two dozen stores to memory. A frame that is being judged meanwhile is judged by
    /// the old rules or by the new ones, never by a mixture; its limits and its egress policy change one after the other, before
    /// the rules. Rules that change for the third time, or more often, may have to wait until no program runs that began before
    /// the change before, some ten milliseconds; one wait is for all ports, and no other call waits meanwhile.
    ///
    /// # Errors
    /// [`MonitorError::NotAssigned`] if the slot is not in use; [`MonitorError::NoGroup`] if there is no such group;
    /// [`MonitorError::ChecksumsUnseen`] if it is to be enforced and the kernel does not let the programs see enough;
    /// [`MonitorError::Unlimited`] if it has limits and the programs know none; [`MonitorError::EgressOff`] and
    /// [`MonitorError::NoEgressPolicy`] of an egress policy; [`MonitorError::Kernel`] if there is to be a wait and the kernel has no
    /// room for it.
    pub fn set_policy(&self, slot: Slot, policy: &Policy) -> Result<(), MonitorError> {
        let ports = self.lock_to_write(slot.get().into(), &policy.limits)?;
        ports.slots.port(slot).ok_or(MonitorError::NotAssigned { slot })?;
        check_group(policy.group)?;
        check_mode(policy.mode)?;
        self.check_limits(&policy.limits)?;
        self.write_egress(slot.get().into(), policy.egress.map(|egress| (egress, policy.mode)))?;
        self.write_limits(slot.get().into(), &policy.limits)?;
        self.validation.write(slot.get().into(), policy);
        Ok(())
    }

    /// What a port may send, as the program reads it; `None` if it is not judged.
    ///
    /// # Panics
    /// If the slot is not one of this monitor's.
    #[must_use]
    pub fn policy(&self, slot: Slot) -> Option<Policy> {
        let limits = self.limits_of(slot.get().into());
        let egress = self.egress_of(slot).map(|(egress, _)| egress);
        self.validation.policy(slot).map(|policy| Policy { limits, egress, ..policy })
    }

    /// As [`Self::set_policy`], for frames of filters of ours whose class id is 0: those of [`Self::test_run`].
    ///
    /// # Errors
    /// [`MonitorError::NoGroup`] if there is no such group; else as [`Self::set_policy`].
    pub fn set_unassigned_policy(&self, policy: Option<&Policy>) -> Result<(), MonitorError> {
        let slot = NO_SLOT as usize;
        let _ports = self.lock_to_write(slot, &policy.map_or(Limits::NONE, |policy| policy.limits))?;
        if let Some(policy) = policy {
            check_group(policy.group)?;
            self.check_limits(&policy.limits)?;
            self.write_egress(slot, policy.egress.map(|egress| (egress, policy.mode)))?;
            self.write_limits(slot, &policy.limits)?;
            self.validation.write(slot, policy);
        } else {
            self.write_egress(slot, None)?;
            self.write_limits(slot, &Limits::NONE)?;
            self.validation.table().turn_off(slot);
        }
        Ok(())
    }

    /// Takes a port's policy back, with its limits and its egress policy: from the next frame on it is counted and not judged.
    ///
    /// # Errors
    /// [`MonitorError::NotAssigned`] if the slot is not in use.
    pub fn clear_policy(&self, slot: Slot) -> Result<(), MonitorError> {
        let ports = self.lock_to_write(slot.get().into(), &Limits::NONE)?;
        ports.slots.port(slot).ok_or(MonitorError::NotAssigned { slot })?;
        self.write_egress(slot.get().into(), None)?;
        self.write_limits(slot.get().into(), &Limits::NONE)?;
        self.validation.table().turn_off(slot.get().into());
        Ok(())
    }

    /// Changes what is done about a port's violations, by one store, while frames pass; and by another one about what its egress
    /// policy refuses.
    ///
    /// # Errors
    /// [`MonitorError::NotAssigned`] if the slot is not in use, [`MonitorError::NoPolicy`] if it has no policy,
    /// [`MonitorError::ChecksumsUnseen`] as for [`Self::set_policy`].
    pub fn set_mode(&self, slot: Slot, mode: Mode) -> Result<(), MonitorError> {
        let ports = self.lock();
        ports.slots.port(slot).ok_or(MonitorError::NotAssigned { slot })?;
        let (old, group) = self.validation.read_control(slot.get().into());
        if old & control::MODE == control::OFF {
            return Err(MonitorError::NoPolicy { slot });
        }
        check_mode(mode)?;
        if let Some((egress, _)) = self.egress_of(slot) {
            self.write_egress(slot.get().into(), Some((egress, mode)))?;
        }
        self.validation.write_control(slot.get().into(), old & !control::MODE | mode.bits(), group);
        Ok(())
    }

    /// What is done about a port's violations; `None` if it has no policy and is not judged. Loads from memory, and no
    /// system call.
    ///
    /// # Panics
    /// If the slot is not one of this monitor's.
    #[must_use]
    pub fn mode(&self, slot: Slot) -> Option<Mode> {
        match self.validation.read_control(slot.get().into()).0 & control::MODE {
            control::OBSERVE => Some(Mode::Observe),
            control::ENFORCE => Some(Mode::Enforce),
            _ => None,
        }
    }

    /// Says whether ports of one group may send to ports of another (or the same). At first all may.
    ///
    /// It holds between ports that have a policy; what is done about a frame that may not is the sender's mode to say.
    ///
    /// # Errors
    /// [`MonitorError::NoGroup`] if there is no such group.
    pub fn set_group_pair(&self, from: u8, to: u8, may: bool) -> Result<(), MonitorError> {
        check_group(from)?;
        check_group(to)?;
        let row = &self.validation.groups.words(to.into())[0];
        if may {
            row.fetch_and(!(1 << from), Ordering::Relaxed);
        } else {
            row.fetch_or(1 << from, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Which groups may not send to which, senders first: what [`Self::set_group_pair`] was given. Loads from memory, and
    /// no system call.
    #[must_use]
    pub fn groups_apart(&self) -> Vec<(u8, u8)> {
        let to = |to: u8| {
            let refused = self.validation.groups.words(to.into())[0].load(Ordering::Relaxed);
            let is_refused = move |from: &u8| refused >> from & 1 != 0;
            (0..MAX_GROUPS as u8).filter(is_refused).map(move |from| (from, to))
        };
        (0..MAX_GROUPS as u8).flat_map(to).collect()
    }

    /// What was found wrong at a port since it was assigned. Loads from memory, and no system call.
    ///
    /// # Panics
    /// If the slot is not one of this monitor's.
    #[must_use]
    pub fn violations(&self, slot: Slot) -> Violations {
        self.violations_of(slot.get().into())
    }

    /// As [`Self::violations`], of what [`Self::set_unassigned_policy`] is for.
    #[must_use]
    pub fn unassigned_violations(&self) -> Violations {
        self.violations_of(NO_SLOT as usize)
    }

    fn violations_of(&self, slot: usize) -> Violations {
        Violations::from_words(&self.validation.violations.read(slot))
    }

    /// Whether the programs see where checksums will be written, without which nothing can be enforced. Asked once a
    /// process.
    #[must_use]
    pub fn can_enforce() -> bool {
        check_mode(Mode::Enforce).is_ok()
    }
}

/// What is enforced must see where a checksum will be written. Asked once a process.
fn check_mode(mode: Mode) -> Result<(), MonitorError> {
    if mode == Mode::Enforce {
        kernel_types::kernel_types().map_err(|why| MonitorError::ChecksumsUnseen { why })?;
    }
    Ok(())
}

fn check_group(group: u8) -> Result<(), MonitorError> {
    if u32::from(group) < MAX_GROUPS { Ok(()) } else { Err(MonitorError::NoGroup { group }) }
}
