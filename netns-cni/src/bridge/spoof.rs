//! `macspoofchk`: frames of a container that are not from its own MAC address are dropped at its port.

use crate::failure::Outcome;
use crate::random;
use netns_core::nftables::{
    Base, Chain, Comparison, Family, Header, MetaKey, NftSocket, Register, RuleVerdict, Table, Transaction,
    chain, rule, table,
};
use netns_core::record::Line;
use netns_core::{ErrorKind, MacAddress};

/// Of [`SpoofTable`]'s lines.
const KEY: &str = "spoof";
/// Before bridges look at what came in, as `nft` counts (`NF_BR_PRI_FIRST` is less).
const PRIORITY: i32 = -300;

/// The table of one attachment. Its name ends with 64 random bits, so that no later table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpoofTable(String);

impl SpoofTable {
    /// A name for one that is to be made.
    pub(super) fn unused() -> Self {
        Self(format!("netns-cni-{:016x}", random::number()))
    }

    pub(super) fn line(&self) -> Line {
        Line::new(KEY).with(&self.0)
    }

    pub(super) fn read(line: &Line) -> Option<Self> {
        (line.key() == KEY).then(|| line.text(0).map(|name| Self(name.to_owned()))).flatten()
    }

    fn table(&self) -> Table<'_> {
        Table { family: Family::Bridge, name: &self.0 }
    }

    /// Makes it, for a port by its index.
    pub(super) fn make(&self, port: u32, mac: MacAddress) -> Outcome<()> {
        let table = self.table();
        let chain = Chain { table, name: "prerouting", base: Some(Base::prerouting(PRIORITY)) };
        let mut transaction = Transaction::new();
        table::encode_create(&mut transaction, table);
        chain::encode_create(&mut transaction, &chain);
        rule::encode_append(&mut transaction, &chain, |rule| {
            rule.meta(MetaKey::InputIndex, Register::One);
            rule.compare(Register::One, Comparison::Equal, &port.to_ne_bytes());
            // The source address, after the destination's six bytes.
            rule.payload(Header::Link, 6, 6, Register::One);
            rule.compare(Register::One, Comparison::NotEqual, &mac.0);
            rule.counter();
            rule.verdict(RuleVerdict::Drop);
        });
        Ok(NftSocket::open()?.commit(&mut transaction)?)
    }

    pub(super) fn is_there(&self) -> Outcome<bool> {
        Ok(rule::list(&mut NftSocket::open()?, self.table())?.len() == 1)
    }

    pub(super) fn remove(&self) -> Outcome<()> {
        match table::delete(&mut NftSocket::open()?, self.table()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
