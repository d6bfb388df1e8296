//! The settings without which a host forwards nothing: for the links that take part in it, as far as the kernel has them for
//! a link by itself, and put back by the last who needed them.
//!
//! - IPv4 has `forwarding` for each link: what decides is the link that a packet comes in by. So it is switched on for the
//!   bridge and for the links that lead elsewhere.
//! - IPv6 has `force_forwarding` for each link (Linux 6.17), which works in the same way. Before, only the whole namespace forwards
//!   (`net.ipv6.conf.all.forwarding`), and links on which it does take no route from a router's advertisements any more: the
//!   routes that they have go when it is switched on, and the host loses its default route. Unless `accept_ra` is 2, to
//!   which it is set first where it was 1 (`addrconf_fixup_forwarding` in
//!   <https://github.com/torvalds/linux/blob/v6.12/net/ipv6/addrconf.c>).

use crate::record::{Line, Removal, SettingBefore, SharedSetting};
use crate::{ErrorKind, IfName, Namespace, Result, RouteSocket, link, route, sysctl};
use std::collections::BTreeSet;
use std::path::Path;

/// What is to be forwarded.
#[derive(Debug, Clone, Copy)]
pub struct ForwardingNeeds<'a> {
    /// The bridge of the sandboxes, which need not be there yet.
    pub bridge: IfName,
    /// The links that lead elsewhere; `None` for those with a default route, as they are when it is planned.
    pub uplinks: Option<&'a [IfName]>,
    /// Whether IPv4 is forwarded.
    pub ipv4: bool,
    /// Whether IPv6 is forwarded.
    pub ipv6: bool,
    /// Whether published ports are reached at 127.0.0.1 ([`super::NatOptions::loopback`]).
    pub loopback: bool,
}

/// Settings of a host, with what they were before. They belong on record ([`Forwarding::lines`]) before they are claimed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarding {
    settings: Vec<HostSetting>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct HostSetting {
    name: String,
    value: String,
    before: SettingBefore,
}

const ON: &str = "1";
const ALL_IPV6: &str = "net/ipv6/conf/all/forwarding";

impl Forwarding {
    /// The key of its lines.
    pub const KEY: &'static str = "forwards";

    /// Finds out what has to be set in `namespace`; nothing is changed. The claimant is the path of the caller's own record
    /// ([`SharedSetting::claimant`]).
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn plan(namespace: &Namespace, needs: &ForwardingNeeds<'_>, claimant: &Path) -> Result<Self> {
        let mut plan = Planning { namespace, claimant, settings: Vec::new() };
        let links = |is_ipv4: bool| -> Result<Vec<IfName>> {
            let uplinks =
                needs.uplinks.map_or_else(|| default_links(namespace, is_ipv4), |up| Ok(up.to_vec()))?;
            Ok(std::iter::once(needs.bridge)
                .chain(uplinks.into_iter().filter(|&up| up != needs.bridge))
                .collect())
        };
        if needs.ipv4 {
            for name in links(true)? {
                plan.add(format!("net/ipv4/conf/{name}/forwarding"), ON)?;
            }
        }
        if needs.loopback {
            plan.add(format!("net/ipv4/conf/{}/route_localnet", needs.bridge), ON)?;
        }
        if needs.ipv6 {
            let links = links(false)?;
            if plan.is_there("net/ipv6/conf/all/force_forwarding")? {
                for name in links {
                    plan.add(format!("net/ipv6/conf/{name}/force_forwarding"), ON)?;
                }
            } else {
                for name in links {
                    let setting = format!("net/ipv6/conf/{name}/accept_ra");
                    if plan.is_there(&setting)? && sysctl::get(namespace, &setting)? == "1" {
                        plan.add(setting, "2")?;
                    }
                }
                plan.add(ALL_IPV6.to_owned(), ON)?;
            }
        }
        Ok(Self { settings: plan.settings })
    }

    /// Whether it has all that another has: nothing is needed that is not known.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.except(std::iter::once(self)).settings.is_empty()
    }

    /// Gives up what was claimed of links that are gone, whose settings went with them.
    ///
    /// # Errors
    /// If the kernel does not say which those are; if the claims cannot be given up.
    pub fn forget_gone(&mut self, namespace: &Namespace, claimant: &Path) -> Result<()> {
        let mut at = 0;
        while let Some(setting) = self.settings.get(at) {
            match sysctl::get(namespace, &setting.name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    setting.shared(namespace, claimant).withdraw()?;
                    self.settings.remove(at);
                }
                Err(error) => return Err(error),
                Ok(_) => at += 1,
            }
        }
        Ok(())
    }

    /// Adds what others need, as far as it is not needed already.
    pub fn extend(&mut self, other: Self) {
        for setting in other.settings {
            if self.settings.iter().all(|known| known.name != setting.name) {
                self.settings.push(setting);
            }
        }
    }

    /// Those of its settings that none of the others needs.
    #[must_use]
    pub fn except<'a>(&self, others: impl Iterator<Item = &'a Self>) -> Self {
        let needed: Vec<&str> =
            others.flat_map(|other| &other.settings).map(|setting| setting.name.as_str()).collect();
        let settings = self.settings.iter().filter(|setting| !needed.contains(&setting.name.as_str()));
        Self { settings: settings.cloned().collect() }
    }

    /// What belongs on record.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let line = |setting: &HostSetting| {
            let line = Line::new(Self::KEY).with(&setting.name).with(&setting.value);
            let line = line.with(&setting.before.value).with(setting.before.interfaces.is_some());
            setting.before.interfaces.iter().flatten().fold(line, Line::with)
        };
        self.settings.iter().map(line).collect()
    }

    /// Reads its lines among those of a record; a line that makes no sense is passed over.
    #[must_use]
    pub fn read(lines: &[Line]) -> Self {
        let read = |line: &Line| {
            let text = |word| line.text(word).map(str::to_owned);
            let interfaces = if line.parse(3)? { Some(line.texts(4)?) } else { None };
            let before = SettingBefore { value: text(2)?, interfaces };
            Some(HostSetting { name: text(0)?, value: text(1)?, before })
        };
        let ours = lines.iter().filter(|line| line.key() == Self::KEY);
        Self { settings: ours.filter_map(read).collect() }
    }

    /// Claims the settings, and sets those that are not so, once the bridge is there.
    ///
    /// # Errors
    /// If one of them cannot be set. Those before it are, and [`Forwarding::release`] puts them back.
    pub fn claim(&self, namespace: &Namespace, claimant: &Path) -> Result<()> {
        self.settings.iter().try_for_each(|setting| setting.shared(namespace, claimant).claim(&setting.value))
    }

    /// Gives the claims up, and puts back what nobody else needs. Returns a sentence for each setting that somebody else has
    /// changed since, which is left. May be repeated, and is no error without a claim.
    ///
    /// # Errors
    /// Of several the first; the others are put back all the same.
    pub fn release(&self, namespace: &Namespace, claimant: &Path) -> Result<Vec<String>> {
        let (mut left, mut outcome) = (Vec::new(), Ok(()));
        for setting in self.settings.iter().rev() {
            match setting.shared(namespace, claimant).release(&setting.before, &setting.value) {
                Ok(Removal::Left(why)) => left.push(why),
                Ok(_) => {}
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome.map(|()| left)
    }

    /// Whether all of it is set, of links that are there.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn is_on(&self, namespace: &Namespace) -> Result<bool> {
        for setting in &self.settings {
            match sysctl::get(namespace, &setting.name) {
                Ok(value) if value == setting.value => {}
                // Nothing comes in by a link that is gone.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl HostSetting {
    fn shared<'a>(&'a self, namespace: &'a Namespace, claimant: &'a Path) -> SharedSetting<'a> {
        SharedSetting { namespace, name: &self.name, claimant }
    }
}

struct Planning<'a> {
    namespace: &'a Namespace,
    claimant: &'a Path,
    settings: Vec<HostSetting>,
}

impl Planning<'_> {
    fn add(&mut self, name: String, value: &str) -> Result<()> {
        let Self { namespace, claimant, .. } = *self;
        let before = match (SharedSetting { namespace, name: &name, claimant }).before() {
            // Of a bridge that is not there yet.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                SettingBefore { value: "0".to_owned(), interfaces: None }
            }
            other => other?,
        };
        self.settings.push(HostSetting { name, value: value.to_owned(), before });
        Ok(())
    }

    fn is_there(&self, name: &str) -> Result<bool> {
        match sysctl::get(self.namespace, name) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            other => other.map(|_| true),
        }
    }
}

/// The links with a default route of a family.
fn default_links(namespace: &Namespace, is_ipv4: bool) -> Result<Vec<IfName>> {
    let mut socket = RouteSocket::open_in(namespace)?;
    let routes = route::list(&mut socket)?;
    let defaults = routes.iter().filter(|route| route.destination.prefix() == 0);
    let family = defaults.filter(|route| route.destination.address().is_ipv4() == is_ipv4);
    let indexes: BTreeSet<u32> = family.filter_map(|route| route.index).collect();
    let links = link::list(&mut socket)?;
    Ok(links.into_iter().filter(|link| indexes.contains(&link.index)).map(|link| link.name).collect())
}
