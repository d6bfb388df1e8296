//! A barrier behind the ports of bridges: what came in by one of them and was not seen by the program at the port's
//! ingress hook is dropped, before a bridge learns from it, snoops it, answers it or forwards it.
//!
//! A sandbox in which somebody may make an `ifb` device (root of a user namespace is enough) can send frames that the
//! kernel marks `tc_skip_classify`. Crossing a veth does not clear the mark, and `__netif_receive_skb_core` in
//! <https://github.com/torvalds/linux/blob/v6.18/net/core/dev.c> passes such frames by the port's ingress hook, taps and
//! netdev chains. nftables' bridge chains do see them. So the program at the ingress hook writes a stamp into
//! `skb->priority` of each frame that it has judged, and two chains drop what came in by a port and carries no stamp:
//!
//! - at prerouting, before everything that the bridge does with a frame (`br_handle_frame` in
//!   <https://github.com/torvalds/linux/blob/v6.18/net/bridge/br_input.c>);
//! - at input, for 01:80:c2:00:00:00 to 0f (STP, LACP, LLDP), which do not pass prerouting.
//!
//! LLDP always, and BPDUs where STP is on, `br_handle_frame` hands to the host before either hook, unless their port is to
//! forward them. So enforced ports are set to do that ([`FORWARDED`]): then those frames pass prerouting, and
//! are dropped there.
//!
//! A sandbox cannot write a stamp: a frame that crosses a veth arrives with priority 0 (`____dev_forward_skb` in
//! <https://github.com/torvalds/linux/blob/v6.18/include/linux/netdevice.h>), whatever the inside has set.
//!
//! A port that comes to a bridge is not known yet, and could send before anybody has looked at it. So a barrier can close
//! all ports of a bridge but those that are known ([`BarrierPorts::ListedAndNew`]).
//!
//! The chains are in a table of their own, whose name nobody else has. They stay when the process ends, as the programs'
//! filters do, so the name belongs on record before the table is made.
#![forbid(unsafe_code)]

mod rules;

use crate::error::Cause;
use crate::nftables::{Family, NftSocket, RuleNotices, Table, Transaction, element, rule, table};
use crate::{Error, ErrorKind, IfName, Namespace, Operation, Result};
pub(crate) use rules::encode;
use rules::{BRIDGES, OPEN, PORTS, UNJUDGED};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::RangeInclusive;

/// How many indexes go into one request.
const PORTS_AT_ONCE: usize = 100;

/// What is to be in the `group_fwd_mask` of each port that a barrier is behind: the bits of BPDUs (01:80:c2:00:00:00) and
/// LLDP (01:80:c2:00:00:0e). Otherwise these get to the host past every chain.
pub const FORWARDED: u16 = 1 << 0x0 | 1 << 0xE;

/// Which links a barrier is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BarrierPorts {
    /// All that have one of these indexes, now or later.
    Indexes(RangeInclusive<u32>),
    /// Those that [`Barrier::add`] is called for.
    Listed,
    /// Those, and from [`Barrier::close_new`] on every port of one bridge that [`Barrier::pass`] was not called for: a port
    /// that comes to the bridge is closed until somebody has looked at it.
    ///
    /// It takes a kernel with `CONFIG_NFT_BRIDGE_META`, as distributions' are.
    ListedAndNew,
}

/// What was dropped since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unjudged {
    /// The index of the port that it came in by.
    pub port: u32,
    /// How many packets.
    pub packets: u64,
}

/// A barrier. It stays when this is dropped; [`Barrier::delete`] takes it away.
#[derive(Debug)]
pub struct Barrier {
    socket: NftSocket,
    name: String,
    ports: BarrierPorts,
    stamp: u32,
    listed: BTreeSet<u32>,
    /// Ports that pass, of [`BarrierPorts::ListedAndNew`].
    open: BTreeSet<u32>,
    /// The bridge whose new ports are closed.
    bridge: Option<IfName>,
    /// What was counted by the last look, by port.
    counted: HashMap<u32, u64>,
    /// Notices of changes since the barrier was last found whole; `None` if it is not known to be.
    notices: Option<RuleNotices>,
}

/// A name for a table that no other has: it ends with 64 random bits.
#[must_use]
pub fn unused_name() -> String {
    format!("netns-barrier-{:016x}", RandomState::new().build_hasher().finish())
}

impl Barrier {
    /// Makes a barrier in `namespace`, where the bridges are, by this name ([`unused_name`]), against frames whose
    /// priority is not `stamp`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the kernel was built without nftables for bridges; else what it refused. Nothing is
    /// left then.
    pub fn create(namespace: &Namespace, name: &str, ports: BarrierPorts, stamp: u32) -> Result<Self> {
        let mut barrier = Self::new(namespace, name, ports, stamp)?;
        let made = barrier.make();
        if made.as_ref().is_err_and(|error| !matches!(error.cause(), Cause::Refused { .. })) {
            // The answer was lost, and it may be there. The reason that matters is the first one.
            let _ = remove_from(&mut barrier.socket, name);
        }
        made.map(|()| barrier)
    }

    /// As [`Self::create`], in place of the one of this name, if there is one, between two frames.
    pub(crate) fn replace(
        namespace: &Namespace,
        name: &str,
        ports: BarrierPorts,
        stamp: u32,
    ) -> Result<Self> {
        let mut barrier = Self::new(namespace, name, ports, stamp)?;
        let mut transaction = Transaction::new();
        table::encode_clear(&mut transaction, barrier.table());
        encode(&mut transaction, &barrier.name, &barrier.ports, stamp);
        barrier.socket.commit(&mut transaction).map_err(explain)?;
        Ok(barrier)
    }

    fn new(namespace: &Namespace, name: &str, ports: BarrierPorts, stamp: u32) -> Result<Self> {
        Ok(Self {
            socket: NftSocket::open_in(namespace)?,
            name: name.to_owned(),
            ports,
            stamp,
            listed: BTreeSet::new(),
            open: BTreeSet::new(),
            bridge: None,
            counted: HashMap::new(),
            notices: None,
        })
    }

    /// Opens one of [`BarrierPorts::Listed`] or [`BarrierPorts::ListedAndNew`] that another process has made; `None` if there
    /// is none of this name. What is missing of it, [`Self::is_whole`] says.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn open(namespace: &Namespace, name: &str, stamp: u32) -> Result<Option<Self>> {
        let mut barrier = Self::new(namespace, name, BarrierPorts::Listed, stamp)?;
        let tables = match table::list(&mut barrier.socket, Family::Bridge) {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            other => other?,
        };
        if tables.iter().all(|table| table.name != name) {
            return Ok(None);
        }
        barrier.listed = barrier.ports_in(PORTS)?;
        match element::list(&mut barrier.socket, table_of(name), BRIDGES) {
            Ok(bridges) => {
                barrier.ports = BarrierPorts::ListedAndNew;
                barrier.open = barrier.ports_in(OPEN)?;
                barrier.bridge = bridges.first().and_then(|bridge| rules::bridge_of(&bridge.key));
            }
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
        Ok(Some(barrier))
    }

    /// Makes its table.
    fn make(&mut self) -> Result<()> {
        let mut transaction = Transaction::new();
        encode(&mut transaction, &self.name, &self.ports, self.stamp);
        self.socket.commit(&mut transaction).map_err(explain)
    }

    /// The name of its table, of nftables' family "bridge".
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn table(&self) -> Table<'_> {
        table_of(&self.name)
    }

    /// Puts it behind ports too; those that it is behind already may be among them.
    ///
    /// # Errors
    /// What the kernel refused; `ENOENT` if somebody took the barrier away, or if it is one of [`BarrierPorts::Indexes`].
    pub fn add(&mut self, ports: &[u32]) -> Result<()> {
        for some in ports.chunks(PORTS_AT_ONCE) {
            let mut transaction = Transaction::new();
            encode_ports(&mut transaction, self.table(), PORTS, some.iter().copied());
            self.socket.commit(&mut transaction)?;
            self.listed.extend(some);
        }
        ports.iter().try_for_each(|&port| self.take_from(OPEN, port))
    }

    /// Lets everything pass that comes in by these ports, of [`BarrierPorts::ListedAndNew`], and takes the barrier away from
    /// those that it is behind. Of [`BarrierPorts::Listed`] it does that alone: every other port passes.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn pass(&mut self, ports: &[u32]) -> Result<()> {
        if self.ports == BarrierPorts::ListedAndNew {
            for some in ports.chunks(PORTS_AT_ONCE) {
                let mut transaction = Transaction::new();
                encode_ports(&mut transaction, self.table(), OPEN, some.iter().copied());
                self.socket.commit(&mut transaction)?;
                self.open.extend(some);
            }
        }
        ports.iter().try_for_each(|&port| self.take_from(PORTS, port))
    }

    /// Closes the ports of the bridge of this name that neither [`Self::add`] nor [`Self::pass`] was called for, of
    /// [`BarrierPorts::ListedAndNew`]. nftables knows bridges by name: to be called again as soon as the bridge has another.
    /// Until then its known ports are as they were, and new ones pass.
    ///
    /// # Errors
    /// What the kernel refused; `ENOENT` if somebody took the barrier away, or if it is not of this kind.
    pub fn close_new(&mut self, bridge: IfName) -> Result<()> {
        let mut transaction = Transaction::new();
        let key = rules::bridge_key(bridge);
        element::encode_add(&mut transaction, self.table(), BRIDGES, std::iter::once(&key[..]));
        if let Some(before) = self.bridge.filter(|before| *before != bridge) {
            // Another bridge may have the name by now.
            let key = rules::bridge_key(before);
            element::encode_remove(&mut transaction, self.table(), BRIDGES, std::iter::once(&key[..]));
        }
        self.socket.commit(&mut transaction)?;
        self.bridge = Some(bridge);
        Ok(())
    }

    /// The bridge whose new ports are closed ([`Self::close_new`]).
    #[must_use]
    pub const fn closed_bridge(&self) -> Option<IfName> {
        self.bridge
    }

    /// Whether it lets a port of [`BarrierPorts::ListedAndNew`] pass because [`Self::pass`] was called for it.
    #[must_use]
    pub fn is_open(&self, port: u32) -> bool {
        self.open.contains(&port)
    }

    /// The ports that are known to it: those that it is behind and those that pass.
    pub fn known_ports(&self) -> impl Iterator<Item = u32> + '_ {
        self.listed.union(&self.open).copied()
    }

    /// Which of the links with indexes are its.
    #[must_use]
    pub const fn ports(&self) -> &BarrierPorts {
        &self.ports
    }

    /// Whether it is behind this port, of [`BarrierPorts::Listed`].
    #[must_use]
    pub fn is_behind(&self, port: u32) -> bool {
        self.listed.contains(&port)
    }

    /// Forgets a port: takes the barrier away from it, and of [`BarrierPorts::ListedAndNew`] closes it, if it is one of the
    /// bridge. One that is not known is no error.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn remove(&mut self, port: u32) -> Result<()> {
        self.take_from(PORTS, port)?;
        self.take_from(OPEN, port)
    }

    /// Takes a port out of a set, if it is in it.
    fn take_from(&mut self, set: &'static str, port: u32) -> Result<()> {
        let known = if set == OPEN { &self.open } else { &self.listed };
        if !known.contains(&port) {
            return Ok(());
        }
        let mut transaction = Transaction::new();
        let key = port.to_ne_bytes();
        element::encode_remove(&mut transaction, self.table(), set, std::iter::once(&key[..]));
        match self.socket.commit(&mut transaction) {
            // Somebody emptied the set, or took the table away.
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            other => other?,
        }
        // Only now: until the kernel has taken it out, it is to be taken out.
        let known = if set == OPEN { &mut self.open } else { &mut self.listed };
        known.remove(&port);
        Ok(())
    }

    /// The ports in one of its sets.
    fn ports_in(&mut self, set: &str) -> Result<BTreeSet<u32>> {
        let elements = element::list(&mut self.socket, table_of(&self.name), set).or_else(missing)?;
        let ports = elements.into_iter().filter_map(|element| element.key.try_into().ok());
        Ok(ports.map(u32::from_ne_bytes).collect())
    }

    /// What it dropped since the last call, by port.
    ///
    /// # Errors
    /// `ENOENT` if somebody took it away.
    pub fn unjudged(&mut self) -> Result<Vec<Unjudged>> {
        let elements = element::list(&mut self.socket, table_of(&self.name), UNJUDGED)?;
        let mut found = Vec::new();
        for element in elements {
            let (Ok(port), Some(counter)) = (element.key.try_into().map(u32::from_ne_bytes), element.counter)
            else {
                continue;
            };
            let before = self.counted.insert(port, counter.packets).unwrap_or(0);
            // Somebody may have emptied the set.
            let packets = counter.packets.checked_sub(before).unwrap_or(counter.packets);
            if packets > 0 {
                found.push(Unjudged { port, packets });
            }
        }
        Ok(found)
    }

    /// Whether all of it is there. Unless somebody else changed rules of the namespace since the last call, this only looks
    /// whether there are notices.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn is_whole(&mut self) -> Result<bool> {
        let Some(notices) = RuleNotices::resume(&mut self.notices, &self.socket)? else { return Ok(true) };
        let rules = rule::list(&mut self.socket, table_of(&self.name))?.len();
        let whole = rules == rules::count(&self.ports) && self.is_filled()?;
        self.notices = whole.then_some(notices);
        Ok(whole)
    }

    /// Whether its sets have what they were given.
    fn is_filled(&mut self) -> Result<bool> {
        if let BarrierPorts::Indexes(_) = self.ports {
            return Ok(true);
        }
        let listed = self.ports_in(PORTS)?;
        if !self.listed.is_subset(&listed) || self.ports == BarrierPorts::Listed {
            return Ok(self.listed.is_subset(&listed));
        }
        let open = self.ports_in(OPEN)?;
        let bridges = element::list(&mut self.socket, table_of(&self.name), BRIDGES).or_else(missing)?;
        let is_closed = |bridge| bridges.iter().any(|found| rules::bridge_of(&found.key) == Some(bridge));
        // One port more would be one that passes.
        Ok(open.is_subset(&self.open) && self.bridge.is_none_or(is_closed))
    }

    /// Makes it anew, after somebody took it away or changed it. What is left of it holds until then.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn restore(&mut self) -> Result<()> {
        let mut transaction = Transaction::new();
        table::encode_clear(&mut transaction, self.table());
        encode(&mut transaction, &self.name, &self.ports, self.stamp);
        if let Some(bridge) = self.bridge {
            let key = rules::bridge_key(bridge);
            element::encode_add(&mut transaction, self.table(), BRIDGES, std::iter::once(&key[..]));
        }
        // With its ports in the same transaction, so that none of them is without it for a moment.
        for (set, ports) in [(PORTS, &self.listed), (OPEN, &self.open)] {
            encode_ports(&mut transaction, self.table(), set, ports.iter().copied());
        }
        self.socket.commit(&mut transaction).map_err(explain)?;
        // It counts from zero.
        self.counted.clear();
        Ok(())
    }

    /// Takes it away until [`Self::restore`]. That somebody did so before is no error.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn lower(&mut self) -> Result<()> {
        remove_from(&mut self.socket, &self.name).map(drop)
    }

    /// Takes it away for good. That somebody did so before is no error.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn delete(mut self) -> Result<()> {
        remove_from(&mut self.socket, &self.name).map(drop)
    }
}

/// Appends the addition of ports to a set.
fn encode_ports(
    transaction: &mut Transaction,
    table: Table<'_>,
    set: &str,
    ports: impl Iterator<Item = u32>,
) {
    let keys: Vec<[u8; 4]> = ports.map(u32::to_ne_bytes).collect();
    for some in keys.chunks(PORTS_AT_ONCE) {
        element::encode_add(transaction, table, set, some.iter().map(|key| &key[..]));
    }
}

/// A set that is not there has no elements.
fn missing(error: Error) -> Result<Vec<element::ElementInfo>> {
    if error.errno() == Some(libc::ENOENT) { Ok(Vec::new()) } else { Err(error) }
}

/// The names of the tables in `namespace` that are called as [`unused_name`] calls them: barriers, as far as names say.
///
/// # Errors
/// What the kernel refused.
pub fn names(namespace: &Namespace) -> Result<Vec<String>> {
    let is_ours = |name: &str| {
        let random = name.strip_prefix("netns-barrier-");
        random.is_some_and(|random| random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let tables =
        match NftSocket::open_in(namespace).and_then(|mut socket| table::list(&mut socket, Family::Bridge)) {
            // Where there can be none there is none.
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(Vec::new()),
            other => other?,
        };
    Ok(tables.into_iter().map(|table| table.name).filter(|name| is_ours(name)).collect())
}

/// Whether the kernel can make a barrier, as tried in a namespace that goes at once.
///
/// # Errors
/// If there is no namespace to try it in, or the kernel refuses for another reason.
pub fn is_supported() -> Result<bool> {
    can_make(BarrierPorts::Listed)
}

/// Whether the kernel can make one of [`BarrierPorts::ListedAndNew`], as tried in a namespace that goes at once.
///
/// # Errors
/// As [`is_supported`].
pub fn knows_bridges() -> Result<bool> {
    can_make(BarrierPorts::ListedAndNew)
}

fn can_make(ports: BarrierPorts) -> Result<bool> {
    match Barrier::create(&Namespace::anonymous()?, "probe", ports, 1) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the barrier of this name away from a port, if there is such a barrier and it is behind the port.
///
/// # Errors
/// What the kernel refused.
pub fn remove_port(namespace: &Namespace, name: &str, port: u32) -> Result<()> {
    match Barrier::open(namespace, name, 0)? {
        Some(mut barrier) => barrier.remove(port),
        None => Ok(()),
    }
}

/// Takes a barrier away by its name, of which [`unused_name`] has made sure that it is nobody else's; whether there was one.
///
/// # Errors
/// What the kernel refused.
pub fn remove(namespace: &Namespace, name: &str) -> Result<bool> {
    match NftSocket::open_in(namespace) {
        Ok(mut socket) => remove_from(&mut socket, name),
        // Where there can be none there is none.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_from(socket: &mut NftSocket, name: &str) -> Result<bool> {
    match table::delete(socket, table_of(name)) {
        Ok(()) => Ok(true),
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(false),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}

const fn table_of(name: &str) -> Table<'_> {
    Table { family: Family::Bridge, name }
}

/// The kernel answers `ENOENT` to kinds of chains and expressions that it was built without.
fn explain(error: Error) -> Error {
    match error.errno() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => Error::new(
            Operation::MakeBarrier,
            "",
            Cause::Unsupported("the kernel has no nftables for bridges (CONFIG_NF_TABLES_BRIDGE)".into()),
        ),
        _ => error,
    }
}
