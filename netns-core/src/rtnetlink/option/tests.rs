//! Every option of every table: what is set is read back, by its row and by its attribute.

use crate::bridge::PortOptions;
use crate::link::LinkKind;
use crate::option::{OptionForm, OptionRow, OptionValue, Options};
use crate::wire::{Batch, IfInfoMsg, Messages};
use std::collections::BTreeSet;

/// Values that an option can have: the smallest, a one, and the largest.
fn values(row: &OptionRow) -> Vec<OptionValue> {
    match row.form {
        OptionForm::Bit | OptionForm::Switch | OptionForm::Flag | OptionForm::QuietFlag => numbers(&[0, 1]),
        OptionForm::Number(most) => numbers(&[0, 1, most]),
        OptionForm::Mask => numbers(&[0, 0x4000, 0xFFFF]),
        OptionForm::Ticks | OptionForm::Link => numbers(&[0, 1, u64::from(u32::MAX)]),
        OptionForm::Words(words) => words.iter().map(|&(_, number)| OptionValue::Number(number)).collect(),
        OptionForm::Ipv4 => vec![OptionValue::Ipv4([10, 0, 0, 1].into())],
        OptionForm::Ipv6 => vec![OptionValue::Ipv6([0xfd; 16].into())],
        OptionForm::Mac => vec![OptionValue::Mac(crate::MacAddress::local(7))],
    }
}

fn numbers(numbers: &[u64]) -> Vec<OptionValue> {
    numbers.iter().map(|&number| OptionValue::Number(number)).collect()
}

/// What the request says, parsed as if the kernel had sent it.
fn through_bytes(kind: &LinkKind) -> LinkKind {
    let mut batch = Batch::new();
    batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| kind.write(attributes));
    let message = Messages::new(batch.bytes()).next().unwrap();
    kind.parse(message.attributes_after::<IfInfoMsg>())
}

fn check<T: Options + Copy + PartialEq + std::fmt::Debug>(empty: T, through_bytes: impl Fn(&T) -> T) {
    let rows = empty.rows();
    assert!(empty.get(rows.len()).is_none());
    let attributes: Vec<u16> = rows.iter().map(|row| row.attribute.1).collect();
    assert!(attributes.is_sorted(), "{attributes:?}");
    assert_eq!(attributes.iter().collect::<BTreeSet<_>>().len(), attributes.len());
    for (at, row) in rows.iter().enumerate() {
        assert!(row.attribute.0.starts_with("IFLA_") && row.help.trim().ends_with('.'), "{row:?}");
        for value in values(row) {
            let mut options = empty;
            assert!(options.set(at, value), "{row:?}");
            assert_eq!(options.get(at), Some(value), "{row:?}");
            assert_eq!((0..rows.len()).filter(|&row| options.get(row).is_some()).count(), 1);
            assert_eq!(through_bytes(&options), options, "{row:?}");
            assert_eq!(row.parse(&row.text(value)), Some(value), "{row:?}");
        }
        assert_eq!(row.parse("nothing that an option can be"), None, "{row:?}");
        let (mut wrong, mac) = (empty, OptionValue::Mac(crate::MacAddress::local(1)));
        if !values(row).iter().any(|value| matches!(value, OptionValue::Mac(_))) {
            assert!(!wrong.set(at, mac) && wrong == empty, "{row:?}");
        }
    }
}

#[test]
fn every_option_of_every_kind_is_written_and_read_by_its_row() {
    for kind in LinkKind::ALL {
        check(*kind, through_bytes);
        assert_eq!(LinkKind::named(kind.name()), Some(*kind));
    }
    assert_eq!(LinkKind::named("bond"), None);
    check(PortOptions::NONE, |options| {
        let mut batch = Batch::new();
        batch.message(libc::RTM_SETLINK, 0, &IfInfoMsg::default(), |attributes| options.write(attributes));
        PortOptions::parse(Messages::new(batch.bytes()).next().unwrap().attributes_after::<IfInfoMsg>())
    });
}

#[test]
fn numbers_too_large_for_an_option_are_refused() {
    let port = PortOptions::ROWS.iter().find(|row| row.name == "priority").unwrap();
    assert_eq!((port.parse("65535").is_some(), port.parse("65536")), (true, None));
    assert_eq!(port.parse("0x10"), Some(OptionValue::Number(16)));
    let mut options = PortOptions::NONE;
    assert!(!options.set(1, OptionValue::Number(1 << 16)) && options == PortOptions::NONE);
}
