use super::*;
use serde_json::{Value, json};

fn range(json: &Value) -> Outcome<Option<AddressRange>> {
    AddressRange::read(&ConfigKeys::of_entry("ipam".to_owned(), json)?)
}

fn set(ranges: &[Value]) -> RangeSet {
    RangeSet::new("ipam", ranges.iter().map(|json| range(json).unwrap().unwrap()).collect()).unwrap()
}

fn given(set: &RangeSet, last: Option<&str>) -> Vec<String> {
    set.candidates(last.map(|last| last.parse().unwrap())).map(|(address, _)| address.to_string()).collect()
}

#[test]
fn addresses_are_given_round() {
    let one = set(&[json!({"subnet": "10.1.1.0/29"})]);
    assert_eq!(given(&one, None), ["10.1.1.2", "10.1.1.3", "10.1.1.4", "10.1.1.5", "10.1.1.6"]);
    assert_eq!(given(&one, Some("10.1.1.4")), ["10.1.1.5", "10.1.1.6", "10.1.1.2", "10.1.1.3", "10.1.1.4"]);
    assert_eq!(one.size(), 5);
    // Of another range, or of another family: it says nothing.
    assert_eq!(given(&one, Some("10.1.2.4")), given(&one, None));
    let two = set(&[
        json!({"subnet": "10.1.1.0/29", "rangeStart": "10.1.1.4", "rangeEnd": "10.1.1.5"}),
        json!({"subnet": "10.1.2.0/29", "rangeStart": "10.1.2.3", "rangeEnd": "10.1.2.5", "gateway": "10.1.2.4"}),
    ]);
    assert_eq!(given(&two, None), ["10.1.1.4", "10.1.1.5", "10.1.2.3", "10.1.2.5"]);
    assert_eq!(given(&two, Some("10.1.2.3")), ["10.1.2.5", "10.1.1.4", "10.1.1.5", "10.1.2.3"]);
    assert_eq!(two.size(), 4);
    let six = set(&[json!({"subnet": "fd00::/126"})]);
    assert_eq!(given(&six, None), ["fd00::2", "fd00::3"]);
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    for json in [
        json!({"subnet": "10.1.1.0/31"}),
        json!({"subnet": "10.1.1.1/24"}),
        json!({"subnet": "10.1.1.0"}),
        json!({"subnet": "10.1.1.0/24", "rangeStart": "10.1.2.1"}),
        json!({"subnet": "10.1.1.0/24", "rangeStart": "10.1.1.9", "rangeEnd": "10.1.1.8"}),
        json!({"subnet": "10.1.1.0/24", "gateway": "x"}),
        json!({"subnet": "fd00::/127"}),
    ] {
        assert_eq!(range(&json).unwrap_err().code, 7, "{json}");
    }
    assert_eq!(range(&json!({})), Ok(None));
    let of = |subnet: &str| range(&json!({ "subnet": subnet })).unwrap().unwrap();
    assert!(RangeSet::new("", vec![]).is_err());
    assert!(RangeSet::new("", vec![of("10.1.1.0/24"), of("10.1.1.0/25")]).is_err());
    assert!(RangeSet::new("", vec![of("10.1.1.0/24"), of("fd00::/64")]).is_err());
}

/// The lowest and the highest number of a family are addresses like others.
#[test]
fn ranges_at_the_ends_of_all_numbers() {
    let low = set(&[json!({"subnet": "0.0.0.0/24", "rangeStart": "0.0.0.0", "rangeEnd": "0.0.0.2"})]);
    assert_eq!(given(&low, None), ["0.0.0.0", "0.0.0.2"]);
    assert_eq!(given(&low, Some("0.0.0.0")), ["0.0.0.2", "0.0.0.0"]);
    let low = set(&[json!({"subnet": "::/64", "rangeStart": "::", "rangeEnd": "::2"})]);
    assert_eq!(given(&low, None), ["::", "::2"]);
    let high = set(&[json!({"subnet": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126"})]);
    let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let before = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe";
    assert_eq!(given(&high, None), [before, last]);
    assert_eq!(given(&high, Some(last)), [before, last]);
    let all = set(&[json!({"subnet": "::/0", "rangeStart": "::", "rangeEnd": last, "gateway": "fd00::1"})]);
    assert_eq!(all.candidates(None).next().unwrap().0.to_string(), "::");
    assert_eq!(all.size(), u128::MAX);
}
