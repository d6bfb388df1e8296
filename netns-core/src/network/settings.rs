//! What several kinds of links of a network are set to.

use crate::bridge::PortOptions;
use crate::link::{AddrGenMode, LinkChange};

/// Brings a link up.
pub(super) const UP: LinkChange<'_> = LinkChange { up: Some(true), ..LinkChange::NONE };
/// Keeps a link from giving itself an IPv6 address.
pub(super) const QUIET: LinkChange<'_> =
    LinkChange { addrgenmode: Some(AddrGenMode::None), ..LinkChange::NONE };

/// Takes IPv6 from a bridge on which nothing has an address: no link-local address, no router advertisement is believed.
/// A link has IPv6 only with an MTU of 1,280 or more (`addrconf_notify` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv6/addrconf.c>); a bridge's own MTU is for what the bridge itself
/// sends, and what it forwards goes by the ports' (`br_dev_queue_push_xmit` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/bridge/br_forward.c>). Unlike `disable_ipv6` it takes no writable
/// `/proc/sys`. In a request of its own, since only then it stays when ports join (`br_mtu_auto_adjust`).
pub(super) const WITHOUT_IPV6: LinkChange<'_> = LinkChange { mtu: Some(1279), ..LinkChange::NONE };

/// A port that learns nothing, and that nothing without a known destination is sent to.
pub(super) fn silent() -> PortOptions {
    PortOptions {
        learning: Some(false),
        flood: Some(false),
        mcast_flood: Some(false),
        bcast_flood: Some(false),
        ..PortOptions::default()
    }
}
