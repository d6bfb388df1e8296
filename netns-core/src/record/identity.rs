//! Identities: what no later thing of the same name has. Each is a line of a record, and is compared with what is there.

use super::line::Line;
use super::removal::Removal;
use super::twice::undo_twice;
use crate::barrier;
use crate::link::{self, Link};
use crate::sysctl::{self, GlobalForwarding, Ipv4Forwarding};
use crate::wire::Batch;
use crate::{Folder, IfName, MacAddress, Namespace, NamespaceId, Result, RouteSocket};
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

/// Tells a network namespace from every other, earlier or later, for as long as the machine runs.
///
/// That is its cookie, from a counter that the kernel never sets back (`__net_gen_cookie` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/net_namespace.c>), since Linux 5.14. An older kernel has only
/// the inode of nsfs, which it gives to another namespace as soon as this one has gone. So there
/// [`NamespaceIdentity::of_new`] leaves a random number in a namespace of ours, as the alias of its `lo`, which takes the
/// cookie's place. Two that have neither cookie nor number are distinguished by their inodes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NamespaceIdentity {
    /// `SO_NETNS_COOKIE`. Before Linux 5.14 the number that was left in it, or `None`.
    pub cookie: Option<u64>,
    /// Device and inode of nsfs.
    pub id: NamespaceId,
}

impl NamespaceIdentity {
    /// The identity of a namespace.
    ///
    /// # Errors
    /// If it cannot be entered or looked at.
    pub fn of(namespace: &Namespace) -> Result<Self> {
        Self::with_socket(namespace, &mut RouteSocket::open_in(namespace)?)
    }

    /// As [`Self::of`], by a socket that was opened in the namespace.
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub fn with_socket(namespace: &Namespace, socket: &mut RouteSocket) -> Result<Self> {
        let cookie = match socket.namespace_cookie() {
            Err(error) if error.errno() == Some(libc::ENOPROTOOPT) => mark_in(socket)?,
            other => Some(other?),
        };
        Ok(Self { cookie, id: namespace.id()? })
    }

    /// As [`Self::with_socket`], of a namespace that was just made and is going to be on record. On a kernel without
    /// cookies it is given a number.
    ///
    /// # Errors
    /// If it cannot be looked at, or the number cannot be left in it.
    pub fn of_new(namespace: &Namespace, socket: &mut RouteSocket) -> Result<Self> {
        let identity = Self::with_socket(namespace, socket)?;
        if identity.cookie.is_some() {
            return Ok(identity);
        }
        let mark = RandomState::new().build_hasher().finish();
        leave_mark(socket, mark)?;
        Ok(Self { cookie: Some(mark), ..identity })
    }

    /// Whether both are of one namespace. The cookie decides where the kernel has any.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self.cookie, other.cookie) {
            (None, None) => self.id == other.id,
            (ours, theirs) => ours == theirs,
        }
    }
}

/// What the alias of `lo` begins with in a namespace that has a number.
const MARK: &str = "netns-record ";
/// `lo` has the first index of every namespace.
const LO: u32 = 1;

fn leave_mark(socket: &mut RouteSocket, mark: u64) -> Result<()> {
    let mut batch = Batch::new();
    let header = link::LinkId::Index(LO).header();
    batch.message(libc::RTM_SETLINK, 0, &header, |attributes| {
        attributes.text(libc::IFLA_IFALIAS, &format!("{MARK}{mark:016x}"));
    });
    socket.execute(&mut batch)
}

fn mark_in(socket: &mut RouteSocket) -> Result<Option<u64>> {
    let alias = link::get(socket, LO)?.alias;
    Ok(alias.and_then(|alias| u64::from_str_radix(alias.strip_prefix(MARK)?, 16).ok()))
}

/// As a word of a record: `COOKIE:DEVICE:INODE`, with `-` for a cookie that there is not.
impl fmt::Display for NamespaceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cookie {
            Some(cookie) => write!(f, "{cookie}")?,
            None => f.write_str("-")?,
        }
        write!(f, ":{}:{}", self.id.device, self.id.inode)
    }
}

impl FromStr for NamespaceIdentity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(());
        let cookie = next()?;
        let cookie = if cookie == "-" { None } else { Some(cookie.parse().map_err(drop)?) };
        let mut number = || next()?.parse().map_err(drop);
        Ok(Self { cookie, id: NamespaceId { device: number()?, inode: number()? } })
    }
}

/// A name that a namespace of ours has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedNamespace {
    /// The name.
    pub name: String,
    /// The namespace.
    pub identity: NamespaceIdentity,
}

impl RecordedNamespace {
    /// The key of its line.
    pub const KEY: &'static str = "namespace";

    /// Its line.
    #[must_use]
    pub fn line(&self) -> Line {
        Line::new(Self::KEY).with(&self.name).with(self.identity)
    }

    /// Reads its line; `None` if it is another's, or makes no sense.
    #[must_use]
    pub fn read(line: &Line) -> Option<Self> {
        let is_its = line.key() == Self::KEY;
        is_its.then_some(Self { name: line.text(0)?.to_owned(), identity: line.parse(1)? })
    }

    /// Takes the name away, if it still is this namespace's.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn remove(&self) -> Result<Removal> {
        undo_twice(|| self.remove_once())
    }

    fn remove_once(&self) -> Result<Removal> {
        let namespace = match Namespace::open(&self.name) {
            Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(Removal::Gone),
            // A name that stands for no namespace: we were killed while making it.
            Err(error) if error.is_invalid_input() => {
                return Ok(if Namespace::delete_unfinished(&self.name)? {
                    Removal::Removed
                } else {
                    Removal::Left(format!("{} stands for no namespace, and was not made by us", self.name))
                });
            }
            other => other?,
        };
        let ours = NamespaceIdentity::of(&namespace)?.is(&self.identity);
        Ok(if ours && namespace.unbind(&self.name)? {
            Removal::Removed
        } else {
            Removal::Left(format!("{} is another namespace by now", self.name))
        })
    }
}

/// A link of ours: its name when it was made, and what distinguishes it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedLink {
    /// The name that it was made with.
    pub name: IfName,
    /// Its index, if that was chosen when it was written down.
    pub index: Option<u32>,
    /// Its MAC address.
    pub mac: MacAddress,
}

/// What has become of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is there, perhaps under another name.
    Ours(Box<Link>),
    /// It is gone.
    Gone,
    /// One of its name or index is there and is not it, in words.
    Other(String),
}

impl RecordedLink {
    /// The key of its line.
    pub const KEY: &'static str = "link";

    /// Its line.
    #[must_use]
    pub fn line(&self) -> Line {
        Line::new(Self::KEY).with(self.name).with_option(self.index).with(self.mac)
    }

    /// Reads its line; `None` if it is another's, or makes no sense.
    #[must_use]
    pub fn read(line: &Line) -> Option<Self> {
        let is_its = line.key() == Self::KEY;
        is_its.then_some(Self { name: line.parse(0)?, index: line.optional(1)?, mac: line.parse(2)? })
    }

    /// Whether it is this link, whatever that is called now.
    #[must_use]
    pub fn is(&self, link: &Link) -> bool {
        link.mac == Some(self.mac) && self.index.map_or(link.name == self.name, |index| link.index == index)
    }

    /// Looks for it among all links of its namespace.
    #[must_use]
    pub fn find_in(&self, links: &[Link]) -> Found {
        if let Some(link) = links.iter().find(|link| self.is(link)) {
            return Found::Ours(Box::new(link.clone()));
        }
        let named = links.iter().find(|link| link.name == self.name || Some(link.index) == self.index);
        named.map_or(Found::Gone, |link| Found::Other(self.differs(link)))
    }

    /// Asks the kernel for it.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn find(&self, socket: &mut RouteSocket) -> Result<Found> {
        let mut other = None;
        let ids = self.index.map(link::LinkId::Index).into_iter().chain([link::LinkId::Name(self.name)]);
        for id in ids {
            match link::get(socket, id) {
                Ok(link) if self.is(&link) => return Ok(Found::Ours(Box::new(link))),
                Ok(link) => other = other.or(Some(self.differs(&link))),
                Err(error) if error.errno() == Some(libc::ENODEV) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(other.map_or(Found::Gone, Found::Other))
    }

    fn differs(&self, link: &Link) -> String {
        let Self { name, index, mac } = self;
        let found = link.mac.map_or_else(|| "none".to_owned(), |mac| mac.to_string());
        let was = index.map_or_else(String::new, |index| format!("index {index} and "));
        format!(
            "{} (index {}, MAC address {found}) is not the {name} that was made ({was}MAC address {mac})",
            link.name, link.index
        )
    }
}

/// A barrier, which has a name that no other table has: [`barrier::unused_name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedBarrier(pub String);

impl RecordedBarrier {
    /// The key of its line.
    pub const KEY: &'static str = "barrier";

    /// Its line.
    #[must_use]
    pub fn line(&self) -> Line {
        Line::new(Self::KEY).with(&self.0)
    }

    /// Reads its line; `None` if it is another's, or makes no sense.
    #[must_use]
    pub fn read(line: &Line) -> Option<Self> {
        (line.key() == Self::KEY).then_some(Self(line.text(0)?.to_owned()))
    }

    /// Takes it away.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn remove(&self, namespace: &Namespace) -> Result<Removal> {
        Ok(if barrier::remove(namespace, &self.0)? { Removal::Removed } else { Removal::Gone })
    }
}

/// A setting that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedSysctl {
    /// Its name, with `/`.
    pub name: String,
    /// What it was before.
    pub before: String,
    /// What was written.
    pub written: String,
}

impl RecordedSysctl {
    /// The key of its line.
    pub const KEY: &'static str = "sysctl";

    /// Its line.
    #[must_use]
    pub fn line(&self) -> Line {
        Line::new(Self::KEY).with(&self.name).with(&self.before).with(&self.written)
    }

    /// Reads its line; `None` if it is another's, or makes no sense.
    #[must_use]
    pub fn read(line: &Line) -> Option<Self> {
        let text = |word| line.text(word).map(str::to_owned);
        let is_its = line.key() == Self::KEY;
        is_its.then_some(Self { name: text(0)?, before: text(1)?, written: text(2)? })
    }

    /// Writes the value before, if the present one is what was written.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn restore(&self, namespace: &Namespace) -> Result<Removal> {
        match state(namespace, &self.name, &self.before, &self.written)? {
            Removal::Removed => {}
            other => return Ok(other),
        }
        sysctl::set(namespace, &self.name, &self.before)?;
        Ok(Removal::Removed)
    }
}

/// `ip_forward`, which was off and was switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedForwarding {
    /// The interfaces that forwarded before.
    pub interfaces: Vec<String>,
}

const IP_FORWARD: &str = "net/ipv4/ip_forward";

impl RecordedForwarding {
    /// The key of its line.
    pub const KEY: &'static str = "forwarding";

    /// Of what it was before; `None` if it was on, and nothing is going to be changed.
    #[must_use]
    pub fn of(before: &Ipv4Forwarding) -> Option<Self> {
        Some(Self { interfaces: before.interfaces.clone()? })
    }

    /// Its line.
    #[must_use]
    pub fn line(&self) -> Line {
        self.interfaces.iter().fold(Line::new(Self::KEY), Line::with)
    }

    /// Reads its line; `None` if it is another's, or makes no sense.
    #[must_use]
    pub fn read(line: &Line) -> Option<Self> {
        let is_its = line.key() == Self::KEY;
        is_its.then_some(Self { interfaces: line.texts(0)? })
    }

    /// Switches it off again, unless somebody did so already: then interfaces that forward are somebody else's matter.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn restore(&self, namespace: &Namespace) -> Result<Removal> {
        let global = GlobalForwarding::of(IP_FORWARD);
        global.map_or(Ok(Removal::Gone), |global| restore_forwarding(namespace, global, &self.interfaces))
    }
}

/// Switches forwarding off but for these interfaces, unless somebody did so already.
pub(super) fn restore_forwarding(
    namespace: &Namespace,
    global: GlobalForwarding,
    interfaces: &[String],
) -> Result<Removal> {
    match state(namespace, global.name, "0", "1")? {
        Removal::Removed => {}
        other => return Ok(other),
    }
    global.restore(namespace, interfaces)?;
    Ok(Removal::Removed)
}

/// Whether a setting is still what was written ([`Removal::Removed`]: it can be put back).
fn state(namespace: &Namespace, name: &str, before: &str, written: &str) -> Result<Removal> {
    let now = match sysctl::get(namespace, name) {
        Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(Removal::Gone),
        other => other?,
    };
    // The kernel separates values by tabs, people by blanks.
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    Ok(if words(&now) == words(written) {
        Removal::Removed
    } else if words(&now) == words(before) {
        Removal::Gone
    } else {
        Removal::Left(format!("{name} is {now}, and was set to {written}"))
    })
}

/// How the folder of named namespaces was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedFolder(pub Folder);

impl RecordedFolder {
    /// The key of its line.
    pub const KEY: &'static str = "folder";

    /// How it was found by the first of those who use it: the last of them puts it back as that.
    #[must_use]
    pub fn of_first(self, others: impl IntoIterator<Item = Self>) -> Self {
        let both = |Folder { existed, mounted }, Self(other): Self| Folder {
            existed: existed && other.existed,
            mounted: mounted && other.mounted,
        };
        Self(others.into_iter().fold(self.0, both))
    }

    /// Its line.
    #[must_use]
    pub fn line(&self) -> Line {
        Line::new(Self::KEY).with(self.0.existed).with(self.0.mounted)
    }

    /// Reads its line; `None` if it is another's, or makes no sense.
    #[must_use]
    pub fn read(line: &Line) -> Option<Self> {
        let is_its = line.key() == Self::KEY;
        is_its.then_some(Self(Folder { existed: line.parse(0)?, mounted: line.parse(1)? }))
    }
}
