//! Removing what an attachment has in the packet filter, by one transaction: after each that removes something the kernel waits for
//! a grace period, and closing a socket waits for all of them ([`super::KeptSocket`]).

use super::owner::ElementOwner;
use super::recorded::{RecordedFilter, RecordedFilters};
use super::{ATTEMPTS, FilterTable, KeptSocket, NamedSet, busy};
use crate::failure::Outcome;
use crate::request::PluginRequest;
use netns_core::ErrorKind;
use netns_core::nftables::{NftSocket, Transaction};
use netns_core::record::Line;

/// Appends the removal of rules whose comment is meant.
type SearchOfRules = fn(&mut NftSocket, &mut Transaction, &dyn Fn(&str) -> bool) -> Outcome<()>;

/// Where a plugin's elements and rules are, for attachments that have them on no record.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FilterSearch {
    /// In sets.
    Sets(FilterTable, &'static [NamedSet]),
    /// In others' chains.
    Rules(SearchOfRules),
}

/// What is to be removed.
#[derive(Debug)]
pub(crate) struct FilterRemoval {
    owner: ElementOwner,
    named: Vec<RecordedFilter>,
    searches: Vec<FilterSearch>,
}

impl FilterRemoval {
    pub(crate) fn of(request: &PluginRequest) -> Self {
        Self { owner: ElementOwner::of(request), named: Vec::new(), searches: Vec::new() }
    }

    /// Adds what a record names. What it does not name is searched for: it was written by an earlier version, or is not there,
    /// or the plugin was killed before it knew the rules' numbers.
    pub(crate) fn add(&mut self, record: Option<&[Line]>, searches: &[FilterSearch]) {
        let recorded = record.map(RecordedFilters::read).unwrap_or_default();
        if !recorded.is_whole {
            self.searches.extend_from_slice(searches);
        } else if recorded.has_rules {
            self.named.extend(recorded.named);
        } else {
            let is_element = |named: &RecordedFilter| matches!(named, RecordedFilter::Element { .. });
            self.named.extend(recorded.named.into_iter().filter(is_element));
            self.searches.extend(searches.iter().filter(|one| matches!(one, FilterSearch::Rules(_))));
        }
    }

    /// Removes it.
    pub(crate) fn commit(&self) -> Outcome<()> {
        if self.named.is_empty() && self.searches.is_empty() {
            return Ok(());
        }
        let mut socket = match KeptSocket::open() {
            // A kernel without such tables has nothing in them.
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            other => other?,
        };
        let is_its = |comment: &str| comment == self.owner.comment();
        remove(&mut socket, |socket, transaction| {
            for named in &self.named {
                named.encode_removal(socket, transaction, &self.owner)?;
            }
            for search in &self.searches {
                match *search {
                    FilterSearch::Sets(table, sets) => {
                        table.encode_removal(socket, transaction, sets, &is_its)?;
                    }
                    FilterSearch::Rules(search) => search(socket, transaction, &is_its)?,
                }
            }
            Ok(())
        })
    }
}

/// Removes what `encode` appends the removal of, by one transaction, and looks anew if somebody else removed some of it meanwhile.
pub(super) fn remove(
    socket: &mut NftSocket,
    encode: impl Fn(&mut NftSocket, &mut Transaction) -> Outcome<()>,
) -> Outcome<()> {
    for _ in 0..ATTEMPTS {
        let mut transaction = Transaction::new();
        encode(socket, &mut transaction)?;
        if transaction.requests() == 0 {
            return Ok(());
        }
        match socket.commit(&mut transaction) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return Ok(other?),
        }
    }
    Err(busy())
}
