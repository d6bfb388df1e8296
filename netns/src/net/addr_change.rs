//! Requests built from words: `addr add`, `change`, `replace`, `delete`.

use super::index;
use super::line::WordLine;
use super::route_values::scope;
use super::words::{IpFamily, Keyword, Phrase, Takes, other, short, whole};
use crate::failure::Failure;
use netns_core::address::{Address, Scope};
use netns_core::wire::{Batch, IFA_RT_PRIORITY, IfAddrMsg, IfaCacheInfo};
use netns_core::{IpNet, RouteSocket};
use std::net::{IpAddr, Ipv4Addr};

/// What a command line does with addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddrVerb {
    Add,
    Change,
    Replace,
    Delete,
    Show,
    Flush,
}

impl AddrVerb {
    const fn request(self) -> (u16, i32) {
        match self {
            Self::Add => (libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL),
            Self::Replace => (libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE),
            Self::Change => (libc::RTM_NEWADDR, libc::NLM_F_REPLACE),
            Self::Delete | Self::Show | Self::Flush => (libc::RTM_DELADDR, 0),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddrWord {
    Peer,
    Broadcast,
    Scope,
    Dev,
    Label,
    Metric,
    Valid,
    Preferred,
    /// An `IFA_F_*`, and whether it is for IPv6 alone.
    Flag(u32, bool),
    Local,
    Refused,
}

/// In the order of `ipaddr_modify`.
pub(super) const ADDR_WORDS: &[Keyword<AddrWord>] = &[
    whole("peer", Takes::Value, AddrWord::Peer),
    whole("remote", Takes::Value, AddrWord::Peer),
    short("broadcast", Takes::Value, AddrWord::Broadcast),
    whole("brd", Takes::Value, AddrWord::Broadcast),
    whole("anycast", Takes::Refused, AddrWord::Refused),
    whole("scope", Takes::Value, AddrWord::Scope),
    whole("dev", Takes::Value, AddrWord::Dev),
    whole("label", Takes::Value, AddrWord::Label),
    short("metric", Takes::Value, AddrWord::Metric),
    short("priority", Takes::Value, AddrWord::Metric),
    short("preference", Takes::Value, AddrWord::Metric),
    short("valid_lft", Takes::Value, AddrWord::Valid),
    short("preferred_lft", Takes::Value, AddrWord::Preferred),
    whole("nodad", Takes::Nothing, AddrWord::Flag(0x02, true)),
    whole("optimistic", Takes::Nothing, AddrWord::Flag(0x04, true)),
    whole("home", Takes::Nothing, AddrWord::Flag(0x10, true)),
    whole("mngtmpaddr", Takes::Nothing, AddrWord::Flag(0x100, true)),
    whole("noprefixroute", Takes::Nothing, AddrWord::Flag(0x200, false)),
    whole("autojoin", Takes::Nothing, AddrWord::Flag(AUTOJOIN, false)),
    whole("secondary", Takes::Refused, AddrWord::Refused),
    whole("temporary", Takes::Refused, AddrWord::Refused),
    whole("dadfailed", Takes::Refused, AddrWord::Refused),
    whole("deprecated", Takes::Refused, AddrWord::Refused),
    whole("tentative", Takes::Refused, AddrWord::Refused),
    whole("permanent", Takes::Refused, AddrWord::Refused),
    whole("stable-privacy", Takes::Refused, AddrWord::Refused),
    whole("local", Takes::Value, AddrWord::Local),
    other(Takes::Value, AddrWord::Local),
];

/// `IFA_F_MCAUTOJOIN`.
const AUTOJOIN: u32 = 0x400;

/// What the words say.
#[derive(Default)]
struct AddrRequest {
    family: Option<IpFamily>,
    local: Option<IpNet>,
    /// Whether the prefix length was given.
    is_wide: bool,
    peer: Option<IpNet>,
    broadcast: Option<IpAddr>,
    scope: Option<Scope>,
    label: Option<String>,
    metric: Option<u32>,
    valid: Option<u32>,
    preferred: Option<u32>,
    flags: u32,
}

pub(super) fn change(line: &mut WordLine, verb: AddrVerb) -> Result<(), Failure> {
    let phrases = line.phrases(ADDR_WORDS)?;
    let Some(dev) = phrases.iter().find(|phrase| phrase.act == AddrWord::Dev) else {
        return Err(Failure::Usage(format!("`{}`: `dev LINK` is missing", line.about)));
    };
    let request = AddrRequest::read(line, &phrases, verb)?;
    let mut socket = line.manner.open()?;
    let index = index(&mut socket, dev.value())?;
    let mut batch = Batch::new();
    request.write(&mut batch, verb, index);
    Ok(socket.execute(&mut batch)?)
}

impl AddrRequest {
    fn read(line: &WordLine, phrases: &[Phrase<AddrWord>], verb: AddrVerb) -> Result<Self, Failure> {
        let mut request = Self { family: line.manner.family, ..Self::default() };
        let mut broadcast = None;
        for phrase in phrases {
            match phrase.act {
                AddrWord::Peer => {
                    let peer = phrase.net(request.family)?;
                    request.family = Some(IpFamily::of(peer.address()));
                    request.peer = Some(peer);
                }
                AddrWord::Broadcast if matches!(phrase.value(), "+" | "-") => broadcast = Some(phrase),
                AddrWord::Broadcast => {
                    let address = phrase.address(request.family)?;
                    request.family = Some(IpFamily::of(address));
                    request.broadcast = Some(address);
                }
                AddrWord::Scope => request.scope = Some(scope(phrase)?),
                AddrWord::Label => request.label = Some(phrase.value().to_owned()),
                AddrWord::Metric => request.metric = Some(phrase.number32()?),
                AddrWord::Valid => request.valid = Some(lifetime(phrase)?),
                AddrWord::Preferred => request.preferred = Some(lifetime(phrase)?),
                // `ip` warns, and ignores the word.
                AddrWord::Flag(_, true) if request.family != Some(IpFamily::Inet6) => {
                    return Err(Failure::Usage(format!(
                        "`{}`: {} is for IPv6 addresses, and goes after the address",
                        line.about, phrase.name
                    )));
                }
                AddrWord::Flag(flag, _) => request.flags |= flag,
                AddrWord::Local => {
                    let net = phrase.net(request.family)?;
                    request.family = Some(IpFamily::of(net.address()));
                    request.is_wide = phrase.value().contains('/');
                    request.local = Some(net);
                }
                AddrWord::Dev | AddrWord::Refused => {}
            }
        }
        let Some(local) = request.local else {
            return Err(Failure::Usage(format!("`{}`: the address is missing", line.about)));
        };
        if verb == AddrVerb::Delete && local.address().is_ipv4() && !request.is_wide && request.peer.is_none()
        {
            // `ip` warns, and deletes the first address that begins with it.
            return Err(Failure::Usage(format!(
                "`{}`: the prefix length is missing: {}/32, or what `addr show` says",
                line.about,
                local.address()
            )));
        }
        if let (Some(phrase), false) = (broadcast, verb == AddrVerb::Delete) {
            request.broadcast = request.worked_out(phrase)?;
        }
        if request.valid.is_some() || request.preferred.is_some() {
            let (valid, preferred) =
                (request.valid.unwrap_or(u32::MAX), request.preferred.unwrap_or(u32::MAX));
            if valid == 0 || valid < preferred {
                return Err(Failure::Usage(format!(
                    "`{}`: valid_lft is 0, or shorter than preferred_lft",
                    line.about
                )));
            }
            (request.valid, request.preferred) = (Some(valid), Some(preferred));
        }
        if request.flags & AUTOJOIN != 0 && !local.address().is_multicast() {
            return Err(Failure::Usage(format!("`{}`: autojoin is for multicast addresses", line.about)));
        }
        Ok(request)
    }

    /// The broadcast address for `+` or `-`: all ones or all zeroes after the prefix, if that leaves room.
    fn worked_out(&self, phrase: &Phrase<AddrWord>) -> Result<Option<IpAddr>, Failure> {
        let net = self.peer.or(self.local);
        let Some((IpAddr::V4(address), prefix)) = net.map(|net| (net.address(), net.prefix())) else {
            return Err(phrase.wrong("only for IPv4 addresses"));
        };
        if prefix > 30 {
            return Ok(None);
        }
        let host = u32::MAX >> prefix;
        let bits = u32::from(address);
        let bits = if phrase.value() == "+" { bits | host } else { bits & !host };
        Ok(Some(Ipv4Addr::from(bits).into()))
    }

    fn write(&self, batch: &mut Batch, verb: AddrVerb, index: u32) {
        let (message, flags) = verb.request();
        let Some(local) = self.local else { return };
        let default = if local.address().is_loopback() && local.address().is_ipv4() {
            Scope::HOST
        } else {
            Scope::GLOBAL
        };
        let prefix = self.peer.map_or(0, |peer| peer.prefix());
        let header = IfAddrMsg {
            family: IpFamily::of(local.address()).number(),
            prefix: if prefix == 0 { local.prefix() } else { prefix },
            flags: u8::try_from(self.flags).unwrap_or(0),
            scope: self.scope.unwrap_or(if verb == AddrVerb::Delete { Scope::GLOBAL } else { default }).0,
            index,
        };
        batch.message(message, flags, &header, |attributes| {
            attributes.ip(libc::IFA_LOCAL, local.address());
            attributes.ip(libc::IFA_ADDRESS, self.peer.unwrap_or(local).address());
            if let Some(broadcast) = self.broadcast {
                attributes.ip(libc::IFA_BROADCAST, broadcast);
            }
            if let Some(label) = &self.label {
                attributes.text(libc::IFA_LABEL, label);
            }
            attributes.optional(IFA_RT_PRIORITY, self.metric);
            if self.flags > u8::MAX.into() {
                attributes.value(libc::IFA_FLAGS, self.flags);
            }
            if let (Some(valid), Some(preferred)) = (self.valid, self.preferred) {
                attributes
                    .value(libc::IFA_CACHEINFO, IfaCacheInfo { preferred, valid, ..IfaCacheInfo::default() });
            }
        });
    }
}

/// Deletes an address that was listed.
pub(super) fn delete(socket: &mut RouteSocket, address: &Address) -> Result<(), Failure> {
    let request = AddrRequest {
        local: Some(address.net),
        peer: address.peer.and_then(|peer| IpNet::new(peer, address.net.prefix()).ok()),
        ..AddrRequest::default()
    };
    let mut batch = Batch::new();
    request.write(&mut batch, AddrVerb::Delete, address.index);
    match socket.execute(&mut batch) {
        // It went with its primary address.
        Err(error) if error.errno() == Some(libc::EADDRNOTAVAIL) => Ok(()),
        other => Ok(other?),
    }
}

/// Seconds; all ones mean for ever.
fn lifetime(phrase: &Phrase<AddrWord>) -> Result<u32, Failure> {
    if phrase.value() == "forever" { Ok(u32::MAX) } else { phrase.number32() }
}
