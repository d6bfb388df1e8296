//! How a way out and in is to be.

use super::publication::PortProtocol;
use super::redirect::Redirect;
use crate::error::Operation;
use crate::{Error, IpNet, MacAddress, Result};
use std::net::IpAddr;

/// How a way out and in is to be. [`NatOptions::new`] lets nothing out, and nothing in but what is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatOptions {
    /// The index of the bridge that the sandboxes are reached by.
    pub bridge: u32,
    /// Its MAC address, by which what sandboxes send to the host is distinguished from what they send to each other: the rules
    /// see that, too, where `br_netfilter` is loaded. It has to be one that the bridge was given: otherwise the bridge takes one
    /// of its ports', and another when ports come and go; what is sent to that is dropped.
    pub mac: MacAddress,
    /// The sandboxes' subnets.
    pub subnets: Vec<IpNet>,
    /// Whether sandboxes are let out, under the address of the link that their packets leave by.
    pub masquerade: bool,
    /// Whether published IPv4 ports of all addresses are reached at 127.0.0.1, too. It takes a setting of the bridge,
    /// `route_localnet`, which [`super::Forwarding`] has; what sandboxes send to 127.0.0.0/8 is dropped.
    pub loopback: bool,
    /// How many connections a sandbox may have at once by its address, to the host and through it; further ones are dropped.
    /// So none fills the table of connections that all share.
    pub connection_limit: Option<u32>,
    /// Who answers the sandboxes' questions for names, whomever they ask at port 53: at most one of each family. An address of
    /// 127.0.0.0/8 cannot be one.
    pub resolvers: Vec<IpAddr>,
    /// Ports that lead to the host whatever address sandboxes send to: to a proxy. Of each port of a protocol at most one.
    pub redirects: Vec<Redirect>,
}

/// The port of questions for names.
pub(super) const DNS: u16 = 53;

impl NatOptions {
    /// Nothing is let out.
    #[must_use]
    pub const fn new(bridge: u32, mac: MacAddress, subnets: Vec<IpNet>) -> Self {
        Self {
            bridge,
            mac,
            subnets,
            masquerade: false,
            loopback: false,
            connection_limit: None,
            resolvers: Vec::new(),
            redirects: Vec::new(),
        }
    }

    /// Whether the options make sense.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn check(&self) -> Result<()> {
        let refused =
            |object: String, why: &'static str| Err(Error::invalid(Operation::MakeNat, object, why));
        if self.subnets.is_empty() {
            return refused(String::new(), "it has no subnet");
        }
        for (at, resolver) in self.resolvers.iter().enumerate() {
            if resolver.is_loopback() {
                return refused(
                    resolver.to_string(),
                    "a resolver at a loopback address is not reached by sandboxes",
                );
            }
            if self.resolvers[..at].iter().any(|other| other.is_ipv4() == resolver.is_ipv4()) {
                return refused(resolver.to_string(), "there is another resolver of its family");
            }
        }
        for (at, redirect) in self.redirects.iter().enumerate() {
            if redirect.port == 0 || redirect.to == 0 {
                return refused(redirect.to_string(), "a port is a number from 1 to 65535");
            }
            if self.redirects[..at].iter().any(|other| other.is_of_port_of(redirect)) {
                return refused(redirect.to_string(), "the port is redirected already");
            }
            let is_question = redirect.port == DNS && redirect.protocol != PortProtocol::Sctp;
            if is_question && !self.resolvers.is_empty() {
                return refused(redirect.to_string(), "questions for names go to a resolver already");
            }
        }
        Ok(())
    }
}
