//! A network's record, as lines: written once, and read after a kill.

use crate::IfName;
use crate::network::options::{NetworkOptions, RecordPlace};
use crate::network::plan::{Plan, WINDOW, WINDOWS};
use crate::record::{Line, NamespaceIdentity};
use std::path::Path;
use std::time::Duration;

/// A network, as its record describes it.
#[derive(Debug)]
pub(super) struct DescribedNetwork {
    pub(super) namespace: NamespaceIdentity,
    pub(super) plan: Plan,
    pub(super) options: NetworkOptions,
    pub(super) has_program: bool,
}

/// The lines of a network's record.
pub(super) fn lines(plan: &Plan, options: &NetworkOptions, namespace: &NamespaceIdentity) -> Vec<Line> {
    let NetworkOptions { default_route, isolated, broadcast, ipv6_link_local, permanent_neighbours, .. } =
        *options;
    let NetworkOptions { masquerade, publish_on_loopback, open_forward_chains, .. } = *options;
    let is = [
        ("default-route", default_route),
        ("isolated", isolated),
        ("broadcast", broadcast),
        ("ipv6-link-local", ipv6_link_local),
        ("permanent-neighbours", permanent_neighbours),
        ("program", options.program.is_some()),
        ("masquerade", masquerade),
        ("published-on-loopback", publish_on_loopback),
        ("open-forward-chains", open_forward_chains),
    ];
    let is = is.into_iter().filter(|(_, on)| *on);
    let mut lines = vec![
        Line::new("network").with(plan.name).with(namespace),
        Line::new("subnets").with_option(plan.v4).with_option(plan.v6),
        Line::new("plan").with(plan.window).with(plan.salt).with(plan.per_bridge).with(plan.capacity),
        Line::new("limits")
            .with_option(options.mtu)
            .with(millis(options.patience))
            .with(options.reclaim_backlog),
        is.fold(Line::new("with"), |line, (word, _)| line.with(word)),
    ];
    lines.extend(options.sysctls.iter().map(|(name, value)| Line::new("sysctl").with(name).with(value)));
    if masquerade {
        let nat = Line::new("nat").with_option(options.connection_limit);
        lines.push(options.resolvers.iter().fold(nat, Line::with));
        if let Some(uplinks) = &options.uplinks {
            lines.push(uplinks.iter().fold(Line::new("uplinks"), Line::with));
        }
        lines.extend(options.redirects.iter().map(|redirect| Line::new("redirect").with(redirect)));
    } else if !options.resolvers.is_empty() {
        lines.push(options.resolvers.iter().fold(Line::new("resolvers"), Line::with));
    }
    lines
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the lines of a record in this folder say; `None` if they make no sense.
pub(super) fn read(folder: &Path, lines: &[Line]) -> Option<DescribedNetwork> {
    let line = |key: &str| lines.iter().find(|line| line.key() == key);
    let of = |key: &'static str| lines.iter().filter(move |line| line.key() == key);
    let (network, subnets, numbers, limits) =
        (line("network")?, line("subnets")?, line("plan")?, line("limits")?);
    let with = line("with")?.texts(0)?;
    let is = |word: &str| with.iter().any(|one| one == word);
    let (connection_limit, resolvers) = if is("masquerade") {
        let nat = line("nat")?;
        (nat.optional(0)?, nat.texts(1)?)
    } else {
        (None, line("resolvers").map_or_else(|| Some(Vec::new()), |line| line.texts(0))?)
    };
    let name: IfName = network.parse(0)?;
    let (subnet_v4, subnet_v6) = (subnets.optional(0)?, subnets.optional(1)?);
    let (per_bridge, maximum): (u32, u32) = (numbers.parse(2)?, numbers.parse(3)?);
    let (window, salt): (u32, u32) = (numbers.parse(0)?, numbers.parse(1)?);
    if window % WINDOW != 0 || !WINDOWS.contains(&(window / WINDOW)) {
        return None;
    }
    let plan = Plan::new(name, subnet_v4, subnet_v6, per_bridge, maximum, window, salt).ok()?;
    let options = NetworkOptions {
        subnet_v4,
        subnet_v6,
        maximum,
        per_bridge,
        mtu: limits.optional(0)?,
        default_route: is("default-route"),
        masquerade: is("masquerade"),
        publish_on_loopback: is("published-on-loopback"),
        open_forward_chains: is("open-forward-chains"),
        sysctls: of("sysctl")
            .map(|line| Some((line.text(0)?.to_owned(), line.text(1)?.to_owned())))
            .collect::<Option<_>>()?,
        connection_limit,
        resolvers: resolvers.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?,
        uplinks: match line("uplinks") {
            Some(line) => Some(line.texts(0)?.iter().map(|name| name.parse().ok()).collect::<Option<_>>()?),
            None => None,
        },
        redirects: of("redirect").map(|line| line.parse(0)).collect::<Option<_>>()?,
        isolated: is("isolated"),
        broadcast: is("broadcast"),
        ipv6_link_local: is("ipv6-link-local"),
        permanent_neighbours: is("permanent-neighbours"),
        patience: Duration::from_millis(limits.parse(1)?),
        reclaim_backlog: limits.parse(2)?,
        record: RecordPlace::Folder(folder.to_owned()),
        ..NetworkOptions::new(name)
    };
    Some(DescribedNetwork { namespace: network.parse(1)?, plan, options, has_program: is("program") })
}

#[cfg(test)]
mod tests;
