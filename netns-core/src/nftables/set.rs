//! Sets: values that rules look up, and that rules or requests add to. In a map each value has data.

use super::constants::{
    NESTED, NFTA_LIST_ELEM, NFTA_SET_DATA_LEN, NFTA_SET_DATA_TYPE, NFTA_SET_DESC, NFTA_SET_DESC_CONCAT,
    NFTA_SET_DESC_SIZE, NFTA_SET_FIELD_LEN, NFTA_SET_FLAGS, NFTA_SET_ID, NFTA_SET_KEY_LEN, NFTA_SET_KEY_TYPE,
    NFTA_SET_NAME, NFTA_SET_TABLE, NFTA_SET_TIMEOUT, NFTA_SET_USERDATA,
};
use super::table::Table;
use super::transaction::Transaction;
use std::time::Duration;

/// What a set's values are. The kernel knows only how long they are; the number is for `nft`, which shows them by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyType {
    /// An interface index, in host order.
    InterfaceIndex,
    /// The name of an interface, filled up with zeros.
    InterfaceName,
    /// An IPv4 address.
    Ipv4Address,
    /// An IPv6 address.
    Ipv6Address,
    /// A MAC address.
    EthernetAddress,
    /// `IPPROTO_*`, one byte.
    InternetProtocol,
    /// A port in network order, two bytes.
    Port,
    /// A mark, in host order.
    Mark,
    /// Several one after the other, each padded to four bytes with zeroes.
    Concatenation(&'static [KeyType]),
}

impl KeyType {
    /// `TYPE_*` of [nft's datatype.h](https://git.netfilter.org/nftables/tree/include/datatype.h?h=v1.0.6); of a
    /// concatenation, those of its parts, six bits each.
    const fn number(self) -> u32 {
        match self {
            Self::InterfaceIndex => 20,
            Self::InterfaceName => 41,
            Self::Ipv4Address => 7,
            Self::Ipv6Address => 8,
            Self::EthernetAddress => 9,
            Self::InternetProtocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::Concatenation(parts) => {
                let (mut number, mut at) = (0, 0);
                while at < parts.len() {
                    number = number << 6 | parts[at].number();
                    at += 1;
                }
                number
            }
        }
    }

    /// `BYTEORDER_HOST_ENDIAN` or `BYTEORDER_BIG_ENDIAN` of the same file, or `BYTEORDER_INVALID` where there is no such
    /// thing.
    const fn order(self) -> u32 {
        match self {
            Self::InterfaceIndex | Self::InterfaceName | Self::Mark => 1,
            Self::Ipv4Address
            | Self::Ipv6Address
            | Self::EthernetAddress
            | Self::Port
            | Self::InternetProtocol => 2,
            Self::Concatenation(_) => 0,
        }
    }

    /// How long a value is, in bytes.
    #[must_use]
    pub const fn length(self) -> u32 {
        match self {
            Self::InterfaceIndex | Self::Ipv4Address | Self::Mark => 4,
            Self::Ipv6Address | Self::InterfaceName => 16,
            Self::EthernetAddress => 6,
            Self::InternetProtocol => 1,
            Self::Port => 2,
            Self::Concatenation(parts) => {
                let (mut length, mut at) = (0, 0);
                while at < parts.len() {
                    length += parts[at].length().next_multiple_of(4);
                    at += 1;
                }
                length
            }
        }
    }
}

/// What the values of a map have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapData {
    /// Values of their own, at most 64 bytes.
    Value(KeyType),
    /// Verdicts.
    Verdict,
}

/// What a set is beside values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// What each value has, of a map.
    pub data: Option<MapData>,
    /// Whether values are ranges; those of a concatenation from Linux 5.6 on.
    pub intervals: bool,
    /// Whether values go after a time.
    pub timeouts: bool,
    /// After which time values go for which no other is given; not without [`SetOptions::timeouts`].
    pub default_timeout: Option<Duration>,
}

/// A set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set<'a> {
    /// The table that it is in.
    pub table: Table<'a>,
    /// Its name in that.
    pub name: &'a str,
    /// A number, not 0 and of this set alone in its transaction, by which rules of the same transaction refer to it.
    pub id: u32,
    /// What its values are.
    pub key: KeyType,
    /// How many values it has room for; `None` for no limit.
    pub size: Option<u32>,
    /// Whether rules add values ([`super::Expressions::update`]).
    pub is_dynamic: bool,
}

/// Appends the making of a set; refused with `EEXIST` if there is one of its name.
pub fn encode_create(transaction: &mut Transaction, set: &Set<'_>) {
    encode_create_with(transaction, set, &SetOptions::default());
}

/// The same, of a map or with ranges or times.
pub fn encode_create_with(transaction: &mut Transaction, set: &Set<'_>, options: &SetOptions) {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    transaction.request(libc::NFT_MSG_NEWSET, flags, set.table.family, |attributes| {
        attributes.text(NFTA_SET_TABLE, set.table.name);
        attributes.text(NFTA_SET_NAME, set.name);
        attributes.value(NFTA_SET_FLAGS, set_flags(set, options).to_be());
        attributes.value(NFTA_SET_KEY_TYPE, set.key.number().to_be());
        attributes.value(NFTA_SET_KEY_LEN, set.key.length().to_be());
        match options.data {
            Some(MapData::Value(data)) => {
                attributes.value(NFTA_SET_DATA_TYPE, data.number().to_be());
                attributes.value(NFTA_SET_DATA_LEN, data.length().to_be());
            }
            Some(MapData::Verdict) => {
                attributes.value(NFTA_SET_DATA_TYPE, VERDICT.to_be());
                attributes.value(NFTA_SET_DATA_LEN, 0_u32);
            }
            None => {}
        }
        attributes.value(NFTA_SET_ID, set.id.to_be());
        let fields = match set.key {
            KeyType::Concatenation(parts) if options.intervals => parts,
            _ => &[],
        };
        if set.size.is_some() || !fields.is_empty() {
            attributes.nest(NFTA_SET_DESC | NESTED, |description| {
                description.optional(NFTA_SET_DESC_SIZE, set.size.map(u32::to_be));
                if !fields.is_empty() {
                    description.nest(NFTA_SET_DESC_CONCAT | NESTED, |list| {
                        for field in fields {
                            list.nest(NFTA_LIST_ELEM | NESTED, |entry| {
                                entry.value(NFTA_SET_FIELD_LEN, field.length().to_be());
                            });
                        }
                    });
                }
            });
        }
        let timeout = options.default_timeout.map(milliseconds);
        attributes.optional(NFTA_SET_TIMEOUT, timeout.map(u64::to_be));
        // nft, which does not know the order of a value's bytes by its type, reads it here.
        let [a, b, c, d] = set.key.order().to_ne_bytes();
        let key = [KEY_ORDER, 4, a, b, c, d];
        match options.data {
            Some(MapData::Value(data)) => {
                let mut both = [DATA_ORDER; 12];
                both[..6].copy_from_slice(&key);
                both[7] = 4;
                both[8..].copy_from_slice(&data.order().to_ne_bytes());
                attributes.bytes(NFTA_SET_USERDATA, &both);
            }
            _ => attributes.bytes(NFTA_SET_USERDATA, &key),
        }
    });
}

fn set_flags(set: &Set<'_>, options: &SetOptions) -> u32 {
    let concatenation = matches!(set.key, KeyType::Concatenation(_));
    [
        (libc::NFT_SET_EVAL as u32, set.is_dynamic),
        (libc::NFT_SET_MAP as u32, options.data.is_some()),
        (libc::NFT_SET_INTERVAL as u32, options.intervals),
        (libc::NFT_SET_TIMEOUT as u32, options.timeouts),
        (CONCAT, options.intervals && concatenation),
    ]
    .into_iter()
    .filter(|(_, on)| *on)
    .fold(0, |flags, (flag, _)| flags | flag)
}

/// Milliseconds as the kernel takes them.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Appends the deletion of a set with its values; refused with `EBUSY` while a rule looks at it.
pub fn encode_delete(transaction: &mut Transaction, table: Table<'_>, name: &str) {
    transaction.request(libc::NFT_MSG_DELSET, 0, table.family, |attributes| {
        attributes.text(NFTA_SET_TABLE, table.name);
        attributes.text(NFTA_SET_NAME, name);
    });
}

/// `NFT_DATA_VERDICT`, as a type of data, and `NFT_SET_CONCAT`, of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nf_tables.h>.
const VERDICT: u32 = 0xffff_ff00;
const CONCAT: u32 = 1 << 7;

/// `NFTNL_UDATA_SET_KEYBYTEORDER` of [libnftnl's udata.h].
///
/// [libnftnl's udata.h]: https://git.netfilter.org/libnftnl/tree/include/libnftnl/udata.h?h=libnftnl-1.2.4
const KEY_ORDER: u8 = 0;
/// `NFTNL_UDATA_SET_DATABYTEORDER` of the same.
const DATA_ORDER: u8 = 1;
