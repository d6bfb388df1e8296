//! The owner of a set's element, written as its comment.

use crate::hash::hash;
use crate::request::PluginRequest;
use std::collections::BTreeSet;

/// How many bytes a comment has at most (`nftables::comment`).
const LONGEST: usize = 127;

/// The attachment that an element was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ElementOwner {
    comment: String,
}

impl ElementOwner {
    pub(crate) fn of(request: &PluginRequest) -> Self {
        let invocation = &request.invocation;
        Self::new(&request.network, &invocation.container, &invocation.interface)
    }

    /// Neither a network's name nor a container's has a `/`. Where the comment would be too long, hashes take its place.
    pub(crate) fn new(network: &str, container: &str, interface: &str) -> Self {
        let plain = format!("{network}/{container}/{interface}");
        if plain.len() <= LONGEST {
            return Self { comment: plain };
        }
        let rest = format!("{container}/{interface}");
        Self { comment: format!("{:016x}/{:016x}", hash(network.bytes()), hash(rest.bytes())) }
    }

    pub(crate) fn comment(&self) -> &str {
        &self.comment
    }
}

/// Whether a comment belongs to an attachment of this network.
pub(crate) fn is_of_network(comment: &str, network: &str) -> bool {
    let begins = |prefix: &str| comment.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    begins(network) || begins(&format!("{:016x}", hash(network.bytes())))
}

/// What a `GC` removes: comments of a network's attachments that are not listed as valid.
pub(crate) struct StaleOwners<'a> {
    network: &'a str,
    valid: BTreeSet<String>,
}

impl<'a> StaleOwners<'a> {
    pub(crate) fn new(network: &'a str, valid: &BTreeSet<(String, String)>) -> Self {
        let valid = valid
            .iter()
            .map(|(container, interface)| ElementOwner::new(network, container, interface).comment)
            .collect();
        Self { network, valid }
    }

    pub(crate) fn has(&self, comment: &str) -> bool {
        is_of_network(comment, self.network) && !self.valid.contains(comment)
    }
}

#[cfg(test)]
mod tests;
