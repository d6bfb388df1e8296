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
//! The chains are in a table of their own, whose name nobody else has. They stay when the process ends, as the programs'
//! filters do, so the name belongs on record before the table is made.
#![forbid(unsafe_code)]

use crate::error::Cause;
use crate::nftables::{
    Base, ByteOrder, Chain, Comparison, Expressions, Family, Header, KeyType, MetaKey, NftSocket, Register,
    RuleNotices, RuleVerdict, Set, Table, Transaction, chain, element, rule, set, table,
};
use crate::{Error, ErrorKind, Namespace, Operation, Result};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::RangeInclusive;

/// Before all other chains at the hook.
const FIRST: i32 = i32::MIN;
/// For how many ports frames are counted one by one: more than a network has. The rest is in [`Barrier::total`].
const COUNTED_PORTS: u32 = 1 << 16;
/// How many indexes go into one request.
const PORTS_AT_ONCE: usize = 100;
/// The rules of a barrier: one in each of the two base chains, two in the chain that drops.
const RULES: usize = 4;

/// What is to be in the `group_fwd_mask` of each port that a barrier is behind: the bits of BPDUs (01:80:c2:00:00:00) and
/// LLDP (01:80:c2:00:00:0e). Otherwise these get to the host past every chain.
pub const FORWARDED: u16 = 1 << 0x0 | 1 << 0xE;

/// The set of the ports that the barrier is behind.
const PORTS: &str = "ports";
/// The set of what it dropped, by port.
const UNJUDGED: &str = "unjudged";

/// Which links a barrier is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BarrierPorts {
    /// All that have one of these indexes, now or later.
    Indexes(RangeInclusive<u32>),
    /// Those that [`Barrier::add`] is called for.
    Listed,
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
        // Deleting is refused where there is nothing.
        table::encode_ensure(&mut transaction, barrier.table());
        table::encode_delete(&mut transaction, barrier.table());
        encode(&mut transaction, &barrier.name, &barrier.ports, stamp);
        barrier.socket.commit(&mut transaction).map_err(explain)?;
        Ok(barrier)
    }

    fn new(namespace: &Namespace, name: &str, ports: BarrierPorts, stamp: u32) -> Result<Self> {
        Ok(Self {
            socket: open(namespace)?,
            name: name.to_owned(),
            ports,
            stamp,
            listed: BTreeSet::new(),
            counted: HashMap::new(),
            notices: None,
        })
    }

    /// Opens one of [`BarrierPorts::Listed`] that another process has made; `None` if there is none of this name. What is missing
    /// of it, [`Self::is_whole`] says.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn open(namespace: &Namespace, name: &str, stamp: u32) -> Result<Option<Self>> {
        let mut socket = open(namespace)?;
        let tables = match table::list(&mut socket, Family::Bridge) {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            other => other?,
        };
        if tables.iter().all(|table| table.name != name) {
            return Ok(None);
        }
        let elements = element::list(&mut socket, table_of(name), PORTS).or_else(missing)?;
        let listed = elements.into_iter().filter_map(|element| element.key.try_into().ok());
        let listed = listed.map(u32::from_ne_bytes).collect();
        let (name, ports, counted) = (name.to_owned(), BarrierPorts::Listed, HashMap::new());
        Ok(Some(Self { socket, name, ports, stamp, listed, counted, notices: None }))
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
            let keys: Vec<[u8; 4]> = some.iter().map(|port| port.to_ne_bytes()).collect();
            let mut transaction = Transaction::new();
            element::encode_add(&mut transaction, self.table(), PORTS, keys.iter().map(|key| &key[..]));
            self.socket.commit(&mut transaction)?;
            self.listed.extend(some);
        }
        Ok(())
    }

    /// Whether it is behind this port, of [`BarrierPorts::Listed`].
    #[must_use]
    pub fn is_behind(&self, port: u32) -> bool {
        self.listed.contains(&port)
    }

    /// Takes it away from a port. One that it is not behind is no error.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn remove(&mut self, port: u32) -> Result<()> {
        if !self.listed.remove(&port) {
            return Ok(());
        }
        let mut transaction = Transaction::new();
        let key = port.to_ne_bytes();
        element::encode_remove(&mut transaction, self.table(), PORTS, std::iter::once(&key[..]));
        match self.socket.commit(&mut transaction) {
            // Somebody emptied the set, or took the table away.
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(()),
            other => other,
        }
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
        // Before the look, so that no change is missed after it.
        let notices = match self.notices.take() {
            Some(mut notices) => {
                if !notices.is_changed(self.socket.port_id())? {
                    self.notices = Some(notices);
                    return Ok(true);
                }
                notices
            }
            None => RuleNotices::open_beside(&self.socket)?,
        };
        let rules = rule::list(&mut self.socket, table_of(&self.name))?.len();
        let whole = rules == RULES
            && match self.ports {
                BarrierPorts::Indexes(_) => true,
                BarrierPorts::Listed => {
                    let found =
                        element::list(&mut self.socket, table_of(&self.name), PORTS).or_else(missing)?;
                    let found: BTreeSet<_> = found.into_iter().map(|element| element.key).collect();
                    self.listed.iter().all(|port| found.contains(&port.to_ne_bytes()[..]))
                }
            };
        self.notices = whole.then_some(notices);
        Ok(whole)
    }

    /// Makes it anew, after somebody took it away or changed it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn restore(&mut self) -> Result<()> {
        remove_from(&mut self.socket, &self.name)?;
        self.make()?;
        // It counts from zero.
        self.counted.clear();
        let listed: Vec<u32> = self.listed.iter().copied().collect();
        self.add(&listed)
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

/// A set that is not there has no elements.
fn missing(error: Error) -> Result<Vec<element::ElementInfo>> {
    if error.errno() == Some(libc::ENOENT) { Ok(Vec::new()) } else { Err(error) }
}

/// Whether the kernel can make a barrier, as tried in a namespace that goes at once.
///
/// # Errors
/// If there is no namespace to try it in, or the kernel refuses for another reason.
pub fn is_supported() -> Result<bool> {
    match Barrier::create(&Namespace::anonymous()?, "probe", BarrierPorts::Listed, 1) {
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
    match open(namespace) {
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

/// In the caller's own namespace that takes no capability over others, which entering one does.
fn open(namespace: &Namespace) -> Result<NftSocket> {
    if Namespace::current()?.id()? == namespace.id()? {
        NftSocket::open()
    } else {
        NftSocket::open_in(namespace)
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

/// Appends the making of a barrier.
pub(crate) fn encode(transaction: &mut Transaction, name: &str, ports: &BarrierPorts, stamp: u32) {
    let table = table_of(name);
    let listed =
        Set { table, name: PORTS, id: 1, key: KeyType::InterfaceIndex, size: None, is_dynamic: false };
    let unjudged = Set { name: UNJUDGED, id: 2, size: Some(COUNTED_PORTS), is_dynamic: true, ..listed };
    let drop = Chain { table, name: UNJUDGED, base: None };
    let prerouting = Chain { table, name: "prerouting", base: Some(Base::prerouting(FIRST)) };
    let input = Chain { table, name: "input", base: Some(Base::input(FIRST)) };
    table::encode_create(transaction, table);
    if *ports == BarrierPorts::Listed {
        set::encode_create(transaction, &listed);
    }
    set::encode_create(transaction, &unjudged);
    for chain in [&drop, &prerouting, &input] {
        chain::encode_create(transaction, chain);
    }
    // Two rules: one that finds the set full ends there, and the frame is to be dropped all the same.
    rule::encode_append(transaction, &drop, |rule| {
        rule.meta(MetaKey::InputIndex, Register::One);
        rule.update(Register::One, &unjudged);
    });
    rule::encode_append(transaction, &drop, |rule| {
        rule.counter();
        rule.verdict(RuleVerdict::Drop);
    });
    let unstamped = |rule: &mut Expressions<'_, '_>| {
        rule.meta(MetaKey::Priority, Register::One);
        rule.compare(Register::One, Comparison::NotEqual, &stamp.to_ne_bytes());
        rule.meta(MetaKey::InputIndex, Register::One);
        match ports {
            BarrierPorts::Listed => rule.lookup(Register::One, &listed),
            BarrierPorts::Indexes(indexes) => {
                rule.byte_order(Register::One, ByteOrder::Network);
                let (first, last) = (indexes.start().to_be_bytes(), indexes.end().to_be_bytes());
                rule.compare(Register::One, Comparison::GreaterOrEqual, &first);
                rule.compare(Register::One, Comparison::LessOrEqual, &last);
            }
        }
        rule.verdict(RuleVerdict::GoTo(UNJUDGED));
    };
    rule::encode_append(transaction, &prerouting, unstamped);
    rule::encode_append(transaction, &input, |rule| {
        // What others' rules did to a frame's priority since prerouting is not to be held against it.
        rule.payload(Header::Link, 0, 6, Register::One);
        rule.mask(Register::One, [0xff, 0xff, 0xff, 0xff, 0xff, 0xf0]);
        rule.compare(Register::One, Comparison::Equal, &[0x01, 0x80, 0xc2, 0, 0, 0]);
        unstamped(rule);
    });
}
