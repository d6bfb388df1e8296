//! The columns of the table of ports, and its order.

use netns_ebpf::layout::PortCounters;
use netns_ebpf::{PortIdentity, PortRates};
use std::cmp::Ordering;
use std::sync::Arc;

/// A line of the table.
#[derive(Debug, Clone)]
pub(super) struct TableRow {
    pub(super) info: Arc<PortIdentity>,
    pub(super) counters: PortCounters,
    pub(super) rates: PortRates,
    /// Violations; `None` if nothing is judged.
    pub(super) violations: Option<u64>,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Port,
    Namespace,
    RxPackets,
    RxBits,
    RxBytes,
    TxPackets,
    TxBits,
    TxBytes,
    Violations,
}

impl Column {
    /// From left to right.
    pub(super) const ALL: [Self; 9] = [
        Self::Port,
        Self::Namespace,
        Self::RxPackets,
        Self::RxBits,
        Self::RxBytes,
        Self::TxPackets,
        Self::TxBits,
        Self::TxBytes,
        Self::Violations,
    ];
    /// Those that are numbers.
    pub(super) const NUMBERS: [Self; 7] = [
        Self::RxPackets,
        Self::RxBits,
        Self::RxBytes,
        Self::TxPackets,
        Self::TxBits,
        Self::TxBytes,
        Self::Violations,
    ];

    pub(super) const fn heading(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Namespace => "namespace",
            Self::RxPackets | Self::TxPackets => "pkt/s",
            Self::RxBits | Self::TxBits => "bit/s",
            Self::RxBytes | Self::TxBytes => "bytes",
            Self::Violations => "viol",
        }
    }

    /// Names go up, numbers go down.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::Port | Self::Namespace)
    }

    pub(super) fn number(self, row: &TableRow) -> u64 {
        match self {
            Self::Port | Self::Namespace => 0,
            Self::RxPackets => row.rates.rx.packets,
            Self::RxBits => row.rates.rx.bits,
            Self::RxBytes => row.counters.rx.bytes,
            Self::TxPackets => row.rates.tx.packets,
            Self::TxBits => row.rates.tx.bits,
            Self::TxBytes => row.counters.tx.bytes,
            Self::Violations => row.violations.unwrap_or(0),
        }
    }

    fn compare(self, a: &TableRow, b: &TableRow) -> Ordering {
        match self {
            Self::Port => natural(a.info.name.as_str(), b.info.name.as_str()),
            Self::Namespace => natural(&a.info.title(), &b.info.title()),
            _ => self.number(a).cmp(&self.number(b)),
        }
    }
}

/// By which column the table is sorted, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) column: Column,
    pub(super) descending: bool,
}

impl Order {
    pub(super) const fn by(column: Column) -> Self {
        Self { column, descending: !column.is_text() }
    }

    /// The column `step` further to the right, wrapping around.
    pub(super) fn moved(self, step: isize) -> Self {
        let all = Column::ALL;
        let place = all.iter().position(|&column| column == self.column).unwrap_or(0);
        let place = (place.cast_signed() + step).rem_euclid(all.len().cast_signed());
        Self::by(all[place.cast_unsigned()])
    }

    /// Sorts. Equal rows stay in the order of names, so that lines do not jump about.
    pub(super) fn sort(self, rows: &mut [TableRow]) {
        rows.sort_by(|a, b| {
            let order = self.column.compare(a, b);
            let order = if self.descending { order.reverse() } else { order };
            order.then_with(|| Column::Port.compare(a, b))
        });
    }
}

/// As people order names: `ns2` before `ns10`.
fn natural(a: &str, b: &str) -> Ordering {
    fn split(name: &str) -> (&str, u64) {
        let stem = name.trim_end_matches(|character: char| character.is_ascii_digit()).len();
        (&name[..stem], name[stem..].parse::<u64>().unwrap_or(0))
    }
    split(a).cmp(&split(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::{Column, Order, natural};
    use std::cmp::Ordering;

    #[test]
    fn names_are_ordered_as_people_do() {
        assert_eq!(natural("ns2", "ns10"), Ordering::Less);
        assert_eq!(natural("ns", "ns1"), Ordering::Less);
        assert_eq!(natural("a9", "b1"), Ordering::Less);
        assert_eq!(natural("99999999999999999999999", "x"), Ordering::Less);
        assert_eq!(natural("veth1", "veth1"), Ordering::Equal);
    }

    #[test]
    fn columns_go_round() {
        let order = Order::by(Column::Port);
        assert_eq!(order.moved(-1), Order { column: Column::Violations, descending: true });
        assert_eq!(order.moved(9), order);
    }
}
