//! Kinds of links: one file and one row here a kind.

mod bridge;
mod dummy;
mod macvlan;
mod tun;
pub mod veth;
mod vlan;
mod vxlan;

pub use bridge::*;
pub use dummy::*;
pub use macvlan::*;
pub use tun::*;
pub use vlan::*;
pub use vxlan::*;

use super::names::names_of_kind;
use crate::option::{OptionRow, OptionValue, Options};
use crate::wire::{AttributeWriter, Attributes, Name};
use veth::VethOptions;

/// Declares the kinds, each with its options and `ip`'s name for it.
macro_rules! kinds {
    ($( $(#[$meta:meta])* $variant:ident($options:ident) $name:literal $(on $on:ident)?; )*) => {
        /// A kind of links that this crate makes and describes, with its options.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum LinkKind {
            $( $(#[$meta])* $variant($options), )*
        }

        impl LinkKind {
            /// Each kind, without options.
            pub const ALL: &'static [Self] = &[ $( Self::$variant($options::NONE), )* ];

            /// `ip`'s and the kernel's name for it.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Self::$variant(_) => $name, )*
                }
            }

            /// The kind of this name, without options.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $( $name => Some(Self::$variant($options::NONE)), )*
                    _ => None,
                }
            }

            /// Reads `IFLA_INFO_DATA` of a link of this kind.
            pub(crate) fn parse(&self, data: Attributes<'_>) -> Self {
                match self {
                    $( Self::$variant(_) => Self::$variant($options::parse(data)), )*
                }
            }

            /// Writes those options that have a value, as `IFLA_INFO_DATA` has them.
            pub fn write(&self, data: &mut AttributeWriter<'_>) {
                match self {
                    $( Self::$variant(options) => options.write(data), )*
                }
            }

            /// The names of the attributes of a link of this kind.
            pub(crate) const fn attributes(&self) -> &'static [Name] {
                match self {
                    $( Self::$variant(_) => names_of_kind!($options::NAMES), )*
                }
            }

            /// Whether a link of this kind is on another one, without which it cannot be made.
            #[must_use]
            pub const fn needs_link(&self) -> bool {
                match self {
                    $( Self::$variant(_) => [$(stringify!($on),)? ""].len() > 1, )*
                }
            }
        }

        impl Options for LinkKind {
            fn rows(&self) -> &'static [OptionRow] {
                match self {
                    $( Self::$variant(options) => options.rows(), )*
                }
            }

            fn get(&self, row: usize) -> Option<OptionValue> {
                match self {
                    $( Self::$variant(options) => options.get(row), )*
                }
            }

            fn set(&mut self, row: usize, value: OptionValue) -> bool {
                match self {
                    $( Self::$variant(options) => options.set(row, value), )*
                }
            }
        }
    };
}

kinds! {
    /// What joins its ports as a switch does.
    Bridge(BridgeOptions) "bridge";
    /// Drops what it is given.
    Dummy(DummyOptions) "dummy";
    /// Another MAC address on an Ethernet link.
    Macvlan(MacvlanOptions) "macvlan" on link;
    /// A TAP or TUN, which [`crate::tap`] makes.
    Tun(TunOptions) "tun";
    /// One end of a pair; [`crate::veth`] makes both as they are to be.
    Veth(VethOptions) "veth";
    /// One VLAN of an Ethernet link.
    Vlan(VlanOptions) "vlan" on link;
    /// Ethernet over UDP.
    Vxlan(VxlanOptions) "vxlan";
}
