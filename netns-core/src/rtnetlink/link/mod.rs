//! Links: what `ip link` shows, makes, changes and deletes.

mod addrgenmode;
mod change;
mod create;
mod description;
pub mod kind;
pub(crate) mod names;
mod offload;
pub mod port;
mod wait;

pub use super::words::{LinkMode, LinkType, MacvlanMode, PortState, TunType, VlanProtocol};
pub use addrgenmode::AddrGenMode;
pub use change::{LinkChange, encode_set, set, set_up};
pub use create::{NewLink, create, encode_create, encode_set_options, set_options};
pub(crate) use description::parse;
pub use description::{
    Link, LinkId, LinkStats, OperationalState, delete, delete_group, encode_delete, encode_get, get,
    get_named, list, list_ports, stats,
};
#[cfg(test)]
pub(crate) use description::{encode_delete_group, encode_list};
pub use kind::{
    BridgeOptions, DummyOptions, LinkKind, MacvlanOptions, TunOptions, VlanOptions, VxlanOptions,
    veth::VethOptions,
};
pub use offload::{Offloads, offloads};
pub use port::PortOptions;
pub use wait::wait_up;
