//! Sets: values that rules look up, and that rules or requests add to.

use super::constants::{
    NESTED, NFTA_SET_DESC, NFTA_SET_DESC_SIZE, NFTA_SET_FLAGS, NFTA_SET_ID, NFTA_SET_KEY_LEN,
    NFTA_SET_KEY_TYPE, NFTA_SET_NAME, NFTA_SET_TABLE, NFTA_SET_USERDATA,
};
use super::table::Table;
use super::transaction::Transaction;

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
}

impl KeyType {
    /// `TYPE_*` of [nft's datatype.h](https://git.netfilter.org/nftables/tree/include/datatype.h?h=v1.0.6).
    const fn number(self) -> u32 {
        match self {
            Self::InterfaceIndex => 20,
            Self::InterfaceName => 41,
            Self::Ipv4Address => 7,
            Self::Ipv6Address => 8,
            Self::EthernetAddress => 9,
        }
    }

    /// `BYTEORDER_HOST_ENDIAN` or `BYTEORDER_BIG_ENDIAN` of the same file.
    const fn order(self) -> u32 {
        match self {
            Self::InterfaceIndex | Self::InterfaceName => 1,
            Self::Ipv4Address | Self::Ipv6Address | Self::EthernetAddress => 2,
        }
    }

    /// How long a value is, in bytes.
    #[must_use]
    pub const fn length(self) -> u32 {
        match self {
            Self::InterfaceIndex | Self::Ipv4Address => 4,
            Self::Ipv6Address | Self::InterfaceName => 16,
            Self::EthernetAddress => 6,
        }
    }
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
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    transaction.request(libc::NFT_MSG_NEWSET, flags, set.table.family, |attributes| {
        attributes.text(NFTA_SET_TABLE, set.table.name);
        attributes.text(NFTA_SET_NAME, set.name);
        let flags = if set.is_dynamic { libc::NFT_SET_EVAL as u32 } else { 0 };
        attributes.value(NFTA_SET_FLAGS, flags.to_be());
        attributes.value(NFTA_SET_KEY_TYPE, set.key.number().to_be());
        attributes.value(NFTA_SET_KEY_LEN, set.key.length().to_be());
        attributes.value(NFTA_SET_ID, set.id.to_be());
        if let Some(size) = set.size {
            attributes.nest(NFTA_SET_DESC | NESTED, |description| {
                description.value(NFTA_SET_DESC_SIZE, size.to_be());
            });
        }
        // nft, which does not know the order of a value's bytes by its type, reads it here.
        let [a, b, c, d] = set.key.order().to_ne_bytes();
        attributes.bytes(NFTA_SET_USERDATA, &[KEY_ORDER, 4, a, b, c, d]);
    });
}

/// `NFTNL_UDATA_SET_KEYBYTEORDER` of [libnftnl's udata.h].
///
/// [libnftnl's udata.h]: https://git.netfilter.org/libnftnl/tree/include/libnftnl/udata.h?h=libnftnl-1.2.4
const KEY_ORDER: u8 = 0;
