//! Changes of ports in words: those that must be logged even when nobody reads the lines.

use netns_ebpf::{Behind, PortChange, PortIdentity};

/// Logs a change that needs attention.
pub(super) fn warn(change: &PortChange) {
    match change {
        PortChange::Refused { name, closed: false, error, .. } => {
            log::warn!("{name} is not counted: {error}");
        }
        PortChange::Refused { name, closed: true, error, .. } => {
            log::error!("{name} cannot be judged, and what it sends is dropped: {error}");
        }
        PortChange::Unjudged(port) => log::warn!("{port} is not judged: {}", unmatched(port)),
        PortChange::Closed(port) => {
            log::warn!("{port} is closed, and what it sends is dropped: {}", unmatched(port));
        }
        PortChange::EnforcementLost { what, is_restored } => {
            log::error!("{}", super::in_words(what, *is_restored));
        }
        PortChange::Hidden { what, error } => log::warn!("{}", super::hidden(what, error)),
        PortChange::BridgeGone => log::warn!("the bridge is gone"),
        _ => {}
    }
}

/// Why a port has no policy.
pub(crate) fn unmatched(port: &PortIdentity) -> String {
    match &port.behind {
        Behind::Moved { from } => format!("its interface was moved; before that, behind it was {from}"),
        behind => format!("the policy file has no entry for it (behind it: {behind})"),
    }
}
