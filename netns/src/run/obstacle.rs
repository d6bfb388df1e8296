//! What on a host may block frames between namespaces.

use super::pings::{HOST, PingRoute};
use super::plan::RunPlan;
use netns_core::{Namespace, sysctl};

/// The family of packets that a setting of the bridge concerns: whether it is IPv4, the setting, the command's name.
const FAMILIES: [(bool, &str, &str); 2] = [
    (true, "net.bridge.bridge-nf-call-iptables", "iptables"),
    (false, "net.bridge.bridge-nf-call-ip6tables", "ip6tables"),
];

/// The setting that hands the frames of bridges to the host's rules, if it is on for a family that lost pings between
/// namespaces, and how to list the rules. It does not say whether a rule or a policy dropped them: there are three sets of
/// rules, and each is shown only by its own command.
///
/// The settings are each network namespace's own since Linux 5.3.
pub(crate) fn hint(host: &Namespace, plan: &RunPlan, lost: &[PingRoute]) -> Option<String> {
    let between = |route: &&PingRoute| route.from != HOST && route.to != HOST;
    let lost = |v4: bool| lost.iter().filter(between).any(|route| route.address.is_ipv4() == v4);
    let on = |setting: &str| sysctl::get(host, setting).is_ok_and(|value| value == "1");
    let (_, setting, tables) =
        FAMILIES.into_iter().find(|&(v4, setting, _)| plan.has_host() && lost(v4) && on(setting))?;
    Some(format!(
        "{setting} is 1, so the host's chain FORWARD judges what passes over {}; its policy or a rule may drop it, as \
         Docker's policy DROP does. See `{tables}-legacy -S FORWARD` and `{tables}-nft -S FORWARD` (neither shows the \
         other's) and `nft list ruleset`. `sysctl -w {setting}=0` lets bridges alone",
        plan.bridge
    ))
}
