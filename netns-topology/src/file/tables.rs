//! The tables of the file, as TOML has them: types and names of keys are checked here, what they mean in `check`.

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;

/// A text and where it stands.
pub(super) type Text = Spanned<String>;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileTable {
    #[serde(default)]
    pub(super) host: HostTable,
    #[serde(default)]
    pub(super) namespace: BTreeMap<Text, NamespaceTable>,
    #[serde(default)]
    pub(super) bridge: BTreeMap<Text, BridgeTable>,
    #[serde(default)]
    pub(super) apart: Vec<[Spanned<GroupTable>; 2]>,
    #[serde(default)]
    pub(super) egress: BTreeMap<Text, DestinationsTable>,
}

/// `[egress.NAME]`: where interfaces may send to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DestinationsTable {
    pub(super) others: Option<Text>,
    #[serde(default)]
    pub(super) without: Vec<Text>,
    #[serde(default)]
    pub(super) rules: Vec<Text>,
}

/// `[host]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostTable {
    #[serde(default)]
    pub(super) interface: BTreeMap<Text, Interface>,
    #[serde(default)]
    pub(super) routes: Vec<Spanned<RouteTable>>,
    #[serde(default)]
    pub(super) sysctl: BTreeMap<Text, Spanned<Scalar>>,
}

/// `[namespace.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamespaceTable {
    #[serde(default)]
    pub(super) interface: BTreeMap<Text, Interface>,
    #[serde(default)]
    pub(super) routes: Vec<Spanned<RouteTable>>,
    #[serde(default)]
    pub(super) sysctl: BTreeMap<Text, Spanned<Scalar>>,
    #[serde(default)]
    pub(super) run: Vec<Text>,
}

/// `interface.NAME`: one end of a cable; the other is on a bridge, or another interface. Or, with `type`, a link that
/// has one end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interface {
    pub(super) bridge: Option<Text>,
    pub(super) peer: Option<Text>,
    #[serde(default)]
    pub(super) addresses: Vec<Text>,
    pub(super) mac: Option<Text>,
    pub(super) mtu: Option<Spanned<u32>>,
    /// The end that is on the bridge: its `name`, and its options.
    pub(super) port: Option<Spanned<OptionsTable>>,
    pub(super) policy: Option<Spanned<PolicyEntry>>,
    /// How much may pass its port; without a `policy` it is judged as by `policy = "observe"`.
    pub(super) limit: Option<Text>,
    /// A link of another kind than veth, the link that it is on, and its options.
    #[serde(rename = "type")]
    pub(super) kind: Option<Text>,
    pub(super) link: Option<Text>,
    #[serde(default)]
    pub(super) options: OptionsTable,
}

/// Options by `ip`'s names for them.
pub(super) type OptionsTable = BTreeMap<Text, Spanned<Scalar>>;

/// `policy`: what the interface may send. A text is its mode.
#[derive(Debug)]
pub(super) enum PolicyEntry {
    Mode(String),
    Table(Box<PolicyTable>),
}

/// `policy`, in full.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyTable {
    pub(super) mode: Option<Text>,
    pub(super) group: Option<Spanned<GroupTable>>,
    #[serde(default)]
    pub(super) networks: Vec<Text>,
    #[serde(default)]
    pub(super) permit: Vec<Text>,
    #[serde(default)]
    pub(super) ether_types: Vec<Spanned<u16>>,
    pub(super) ipv6: Option<Spanned<bool>>,
    pub(super) host: Option<Spanned<HostWords>>,
    pub(super) forward: Option<bool>,
    pub(super) egress: Option<Text>,
    pub(super) limit: Option<Text>,
}

/// What may be sent to the host: a word, or a list of services.
#[derive(Debug)]
pub(super) enum HostWords {
    Word(String),
    Services(Vec<Text>),
}

/// By hand, since what serde makes of an untagged enumeration forgets where in the table a fault is.
impl<'de> Deserialize<'de> for PolicyEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = PolicyEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"observe\", \"enforce\" or a table")
            }

            fn visit_str<E>(self, text: &str) -> Result<PolicyEntry, E> {
                Ok(PolicyEntry::Mode(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PolicyEntry, A::Error> {
                PolicyTable::deserialize(MapAccessDeserializer::new(map))
                    .map(|table| PolicyEntry::Table(Box::new(table)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// By hand, as [`PolicyEntry`].
impl<'de> Deserialize<'de> for HostWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = HostWords;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"everything\", \"neighbours\", \"nothing\" or a list of services")
            }

            fn visit_str<E>(self, text: &str) -> Result<HostWords, E> {
                Ok(HostWords::Word(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<HostWords, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(HostWords::Services)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A group of ports.
#[derive(Debug)]
pub(super) enum GroupTable {
    Number(i64),
    Name(String),
}

/// By hand, as [`PolicyEntry`], so that an error about what is neither says where it stands.
impl<'de> Deserialize<'de> for GroupTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = GroupTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name or the number of a group")
            }

            fn visit_i64<E>(self, number: i64) -> Result<GroupTable, E> {
                Ok(GroupTable::Number(number))
            }

            fn visit_str<E>(self, name: &str) -> Result<GroupTable, E> {
                Ok(GroupTable::Name(name.to_owned()))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// `[bridge.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BridgeTable {
    pub(super) namespace: Option<Text>,
    #[serde(default)]
    pub(super) addresses: Vec<Text>,
    pub(super) mac: Option<Text>,
    pub(super) mtu: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) stp: bool,
    pub(super) ageing: Option<Spanned<u32>>,
    pub(super) multicast_snooping: Option<bool>,
    /// The egress policy of interfaces on it that name none.
    pub(super) egress: Option<Text>,
    /// Whether it is counted what was decided of what interfaces on it send, by destination.
    #[serde(default)]
    pub(super) verdicts: bool,
    pub(super) masquerade: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) publish: Vec<Text>,
    pub(super) uplinks: Option<Vec<Text>>,
    pub(super) publish_on_loopback: Option<Spanned<bool>>,
    pub(super) open_forward_chains: Option<Spanned<bool>>,
    pub(super) connection_limit: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) resolvers: Vec<Text>,
    #[serde(default)]
    pub(super) redirect: Vec<Text>,
    #[serde(default)]
    pub(super) options: OptionsTable,
}

/// An entry of `routes`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    pub(super) to: Text,
    pub(super) via: Option<Text>,
    pub(super) dev: Option<Text>,
    pub(super) metric: Option<u32>,
    #[serde(default)]
    pub(super) onlink: bool,
}

/// A value of a setting.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a number, a text, or true or false")]
pub(super) enum Scalar {
    Number(i64),
    Switch(bool),
    Text(String),
}

impl Scalar {
    /// As the kernel reads it, words divided by one space.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Switch(on) => u8::from(*on).to_string(),
            Self::Text(text) => crate::words(text),
        }
    }
}
