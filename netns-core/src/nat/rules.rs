//! The rules of a way out and in: as many with one sandbox as with ten thousand.

use super::key::{MAPS, PortMap};
use super::options::{DNS, NatOptions};
use super::redirect::Redirect;
use crate::nftables::{
    Base, Chain, Comparison, CtKey, CtState, DESTINATION_CHANGED, Expressions, Family, FibAddress, Header,
    InetHook, KeyType, LOCAL_ADDRESS, MetaKey, NatFlags, NatKind, Register, RuleVerdict, Set, Table,
    Transaction, chain, rule, set, table,
};
use crate::wire::Messages;
use crate::{IfName, IpNet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The priorities by the names that `nft` has for them: `dstnat`, `srcnat`, `filter`; and between conntrack (-200) and
/// `dstnat`, where a packet has a connection and its destination is still the one that its sender gave it.
const DSTNAT: i32 = -100;
const SRCNAT: i32 = 100;
const FILTER: i32 = 0;
const BEFORE_DSTNAT: i32 = -150;

/// How many addresses connections are counted of.
const COUNTED_ADDRESSES: u32 = 1 << 16;

/// Appends the making of the table with all that is in it but elements. Without the bridge's name a chain is at no hook, which is
/// for counting.
pub(super) fn encode(
    transaction: &mut Transaction,
    table: Table<'_>,
    options: &NatOptions,
    bridge: Option<IfName>,
) {
    table::encode_create(transaction, table);
    for map in MAPS {
        set::encode_create_with(transaction, &map.set(table), &map.options());
    }
    let mut rules = NatRules { transaction, table, options };
    rules.addressed(bridge);
    rules.published();
    rules.prerouting();
    rules.output();
    rules.forward();
    rules.postrouting();
    rules.guard();
}

/// How many rules there are.
pub(super) fn count(options: &NatOptions) -> usize {
    let mut transaction = Transaction::new();
    encode(&mut transaction, super::table_of("count"), options, None);
    let rule = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | libc::NFT_MSG_NEWRULE as u16;
    Messages::new(transaction.bytes()).filter(|message| message.header.kind == rule).count()
}

struct NatRules<'a, 'o> {
    transaction: &'a mut Transaction,
    table: Table<'o>,
    options: &'o NatOptions,
}

impl<'o> NatRules<'_, 'o> {
    fn chain(&mut self, name: &'static str, base: Option<Base<'static>>) -> Chain<'o> {
        let chain = Chain { table: self.table, name, base };
        chain::encode_create(self.transaction, &chain);
        chain
    }

    fn rule(&mut self, chain: &Chain<'_>, expressions: impl FnOnce(&mut Expressions<'_, '_>)) {
        rule::encode_append(self.transaction, chain, expressions);
    }

    /// The host takes what is sent to the bridge's own MAC address. The bridge hands it what is sent to one of a port's, too
    /// (`br_handle_frame_finish` in <https://github.com/torvalds/linux/blob/v6.18/net/bridge/br_input.c>), by which nobody
    /// honest knows it, and which the rules at the forward hook could not distinguish from what the bridge passes on.
    fn addressed(&mut self, bridge: Option<IfName>) {
        const PACKET_HOST: u8 = 0;
        let mac = self.options.mac;
        let chain = self.chain("addressed", bridge.map(|bridge| Base::inet_ingress(bridge, FILTER)));
        self.rule(&chain, |rule| {
            rule.meta(MetaKey::PacketType, Register::One);
            rule.compare(Register::One, Comparison::Equal, &[PACKET_HOST]);
            rule.payload(Header::Link, 0, 6, Register::One);
            rule.compare(Register::One, Comparison::NotEqual, &mac.0);
            rule.verdict(RuleVerdict::Drop);
        });
    }

    /// What is sent to an address of this host goes where the maps say.
    fn published(&mut self) {
        let chain = self.chain(PUBLISHED, None);
        for map in MAPS {
            let set = map.set(self.table);
            self.rule(&chain, |rule| look_up(rule, map, &set));
        }
    }

    /// Connections that others open, and sandboxes.
    fn prerouting(&mut self) {
        let chain = self.chain("prerouting", Some(Base::nat(InetHook::Prerouting, DSTNAT)));
        let bridge = self.options.bridge;
        for resolver in &self.options.resolvers {
            for protocol in [libc::IPPROTO_UDP, libc::IPPROTO_TCP] {
                self.rule(&chain, |rule| {
                    of_link(rule, MetaKey::InputIndex, Comparison::Equal, bridge);
                    redirect_questions(rule, *resolver, protocol as u8);
                });
            }
        }
        // Before what is published: the proxy is passed by nowhere.
        for redirect in &self.options.redirects {
            self.rule(&chain, |rule| {
                of_link(rule, MetaKey::InputIndex, Comparison::Equal, bridge);
                redirect_port(rule, *redirect);
            });
        }
        self.rule(&chain, to_this_host);
    }

    /// Connections that this host opens to itself.
    fn output(&mut self) {
        let chain = self.chain("output", Some(Base::nat(InetHook::Output, DSTNAT)));
        if !self.options.loopback {
            self.rule(&chain, |rule| {
                within(rule, Side::Destination, loopback_v4());
                rule.verdict(RuleVerdict::Accept);
            });
        }
        // It would be sent with ::1 as its source, which the kernel lets out by no link.
        self.rule(&chain, |rule| {
            within(rule, Side::Destination, IpNet::single(Ipv6Addr::LOCALHOST.into()));
            rule.verdict(RuleVerdict::Accept);
        });
        self.rule(&chain, to_this_host);
    }

    /// What goes through this host: from the bridge or to it nothing but what is meant.
    fn forward(&mut self) {
        let options = self.options;
        let chain = self.chain("forward", Some(Base::inet(InetHook::Forward, FILTER)));
        let from = |rule: &mut Expressions<'_, '_>| {
            of_link(rule, MetaKey::InputIndex, Comparison::Equal, options.bridge);
        };
        let to = |rule: &mut Expressions<'_, '_>| {
            of_link(rule, MetaKey::OutputIndex, Comparison::Equal, options.bridge);
        };
        for side in [&from as &dyn Fn(&mut Expressions<'_, '_>), &to] {
            self.rule(&chain, |rule| {
                side(rule);
                rule.connection_has(CtKey::State, CtState::Established.bit() | CtState::Related.bit());
                rule.verdict(RuleVerdict::Accept);
            });
            self.rule(&chain, |rule| {
                side(rule);
                rule.connection_has(CtKey::Status, DESTINATION_CHANGED);
                rule.verdict(RuleVerdict::Accept);
            });
        }
        for subnet in options.subnets.iter().filter(|_| options.masquerade) {
            self.rule(&chain, |rule| {
                from(rule);
                of_link(rule, MetaKey::OutputIndex, Comparison::NotEqual, options.bridge);
                within(rule, Side::Source, *subnet);
                rule.verdict(RuleVerdict::Accept);
            });
        }
        // With br_netfilter, what the bridge passes from port to port comes by here, too. It is not sent to the bridge's address.
        self.rule(&chain, |rule| {
            from(rule);
            to(rule);
            rule.payload(Header::Link, 0, 6, Register::One);
            rule.compare(Register::One, Comparison::NotEqual, &options.mac.0);
            rule.verdict(RuleVerdict::Accept);
        });
        for side in [&from as &dyn Fn(&mut Expressions<'_, '_>), &to] {
            self.rule(&chain, |rule| {
                side(rule);
                rule.verdict(RuleVerdict::Drop);
            });
        }
    }

    /// What leaves this host.
    fn postrouting(&mut self) {
        let options = self.options;
        let chain = self.chain("postrouting", Some(Base::nat(InetHook::Postrouting, SRCNAT)));
        for subnet in &options.subnets {
            if options.masquerade {
                self.rule(&chain, |rule| {
                    of_link(rule, MetaKey::OutputIndex, Comparison::NotEqual, options.bridge);
                    within(rule, Side::Source, *subnet);
                    rule.masquerade(NatFlags::default());
                });
            }
            // From one sandbox to another by a published port: the reply would go there at once, from an address that was not
            // asked.
            self.rule(&chain, |rule| {
                of_link(rule, MetaKey::OutputIndex, Comparison::Equal, options.bridge);
                within(rule, Side::Source, *subnet);
                rule.connection_has(CtKey::Status, DESTINATION_CHANGED);
                rule.masquerade(NatFlags::default());
            });
        }
        if options.loopback {
            self.rule(&chain, |rule| {
                of_link(rule, MetaKey::OutputIndex, Comparison::Equal, options.bridge);
                within(rule, Side::Source, loopback_v4());
                rule.connection_has(CtKey::Status, DESTINATION_CHANGED);
                rule.masquerade(NatFlags::default());
            });
        }
    }

    /// What sandboxes send is dropped if it is for 127.0.0.0/8, which `route_localnet` would let in, or opens a connection too
    /// many.
    fn guard(&mut self) {
        let options = self.options;
        let chain = self.chain("guard", Some(Base::inet(InetHook::Prerouting, BEFORE_DSTNAT)));
        self.rule(&chain, |rule| {
            of_link(rule, MetaKey::InputIndex, Comparison::Equal, options.bridge);
            within(rule, Side::Destination, loopback_v4());
            rule.verdict(RuleVerdict::Drop);
        });
        let Some(limit) = options.connection_limit else { return };
        let families = [
            (Family::Ip, "connections4", 5, KeyType::Ipv4Address),
            (Family::Ip6, "connections6", 6, KeyType::Ipv6Address),
        ];
        for (family, name, id, key) in families {
            let size = Some(COUNTED_ADDRESSES);
            let counted = Set { table: self.table, name, id, key, size, is_dynamic: true };
            set::encode_create(self.transaction, &counted);
            self.rule(&chain, |rule| {
                of_link(rule, MetaKey::InputIndex, Comparison::Equal, options.bridge);
                rule.connection_has(CtKey::State, CtState::New.bit());
                of_family(rule, family);
                load_address(rule, family, Side::Source, Register::One);
                rule.more_connections_each_than(limit, Register::One, &counted);
                rule.verdict(RuleVerdict::Drop);
            });
        }
    }
}

/// The chain that asks the maps.
const PUBLISHED: &str = "published";

/// Which address of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
}

fn loopback_v4() -> IpNet {
    IpNet::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8).unwrap_or(IpNet::single(Ipv4Addr::LOCALHOST.into()))
}

fn of_link(rule: &mut Expressions<'_, '_>, key: MetaKey, comparison: Comparison, index: u32) {
    rule.meta(key, Register::One);
    rule.compare(Register::One, comparison, &index.to_ne_bytes());
}

fn of_family(rule: &mut Expressions<'_, '_>, family: Family) {
    rule.meta(MetaKey::Protocol, Register::One);
    rule.compare(Register::One, Comparison::Equal, &[family.number()]);
}

fn load_address(rule: &mut Expressions<'_, '_>, family: Family, side: Side, to: Register) {
    let (source, destination, length) = if family == Family::Ip6 { (8, 24, 16) } else { (12, 16, 4) };
    let offset = if side == Side::Source { source } else { destination };
    rule.payload(Header::Network, offset, length, to);
}

/// Goes on for packets with an address in a subnet.
fn within(rule: &mut Expressions<'_, '_>, side: Side, subnet: IpNet) {
    let family = if subnet.address().is_ipv6() { Family::Ip6 } else { Family::Ip };
    of_family(rule, family);
    load_address(rule, family, side, Register::One);
    match subnet.network().address() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(subnet.prefix())).unwrap_or(0);
            if mask != u32::MAX {
                rule.mask(Register::One, mask.to_be_bytes());
            }
            rule.compare(Register::One, Comparison::Equal, &address.octets());
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(subnet.prefix())).unwrap_or(0);
            if mask != u128::MAX {
                rule.mask(Register::One, mask.to_be_bytes());
            }
            rule.compare(Register::One, Comparison::Equal, &address.octets());
        }
    }
}

fn to_this_host(rule: &mut Expressions<'_, '_>) {
    rule.address_type(FibAddress::Destination, Register::One);
    rule.compare(Register::One, Comparison::Equal, &LOCAL_ADDRESS.to_ne_bytes());
    rule.verdict(RuleVerdict::Jump(PUBLISHED));
}

/// Asks a map by the parts of its keys, which lie one after the other in the registers, and sends the packet where it says.
fn look_up(rule: &mut Expressions<'_, '_>, map: PortMap, set: &Set<'_>) {
    let family = if map.v4 { Family::Ip } else { Family::Ip6 };
    let words = if map.v4 { 1 } else { 4 };
    of_family(rule, family);
    let mut next = 0;
    if map.addressed {
        load_address(rule, family, Side::Destination, Register::One);
        next = words;
    }
    rule.meta(MetaKey::Transport, Register::Word(next));
    rule.payload(Header::Transport, 2, 2, Register::Word(next + 1));
    rule.lookup_data(Register::One, set, Register::One);
    let port = Some(Register::Word(words));
    rule.nat(NatKind::Destination, family, Register::One, port, NatFlags::default());
}

/// Sends questions for names to a resolver.
fn redirect_questions(rule: &mut Expressions<'_, '_>, resolver: IpAddr, protocol: u8) {
    let family = if resolver.is_ipv6() { Family::Ip6 } else { Family::Ip };
    of_family(rule, family);
    to_port(rule, protocol, DNS);
    match resolver {
        IpAddr::V4(address) => rule.load(Register::One, &address.octets()),
        IpAddr::V6(address) => rule.load(Register::One, &address.octets()),
    }
    rule.nat(NatKind::Destination, family, Register::One, None, NatFlags::default());
}

/// Sends what is for a port, of both families, to one of this host: at the address of the link that it comes in by, which is the
/// bridge's first one (`nf_nat_redirect_ipv4` in
/// <https://github.com/torvalds/linux/blob/v6.18/net/netfilter/nf_nat_redirect.c>). Without one it is dropped.
fn redirect_port(rule: &mut Expressions<'_, '_>, redirect: Redirect) {
    to_port(rule, redirect.protocol.number(), redirect.port);
    rule.load(Register::One, &redirect.to.to_be_bytes());
    rule.redirect(Some(Register::One), NatFlags::default());
}

fn to_port(rule: &mut Expressions<'_, '_>, protocol: u8, port: u16) {
    rule.meta(MetaKey::Transport, Register::One);
    rule.compare(Register::One, Comparison::Equal, &[protocol]);
    rule.payload(Header::Transport, 2, 2, Register::One);
    rule.compare(Register::One, Comparison::Equal, &port.to_be_bytes());
}
