//! Valid and invalid names; `tests/kernel/name.rs` shows what the kernel makes of them.

use super::IfName;

#[test]
fn valid_names_are_kept_as_they_are() {
    for name in ["a", "br0", "veth-1_2.3", "x".repeat(15).as_str(), "...", "é", "all0", "Default"] {
        let kept = IfName::new(name).unwrap();
        assert_eq!((kept.as_str(), kept.to_string().as_str()), (name, name));
        assert_eq!(format!("{kept:?}"), format!("{name:?}"));
        assert_eq!(name.parse::<IfName>().unwrap(), kept);
    }
    assert_eq!(
        format!("{:>5}|{:<5}|", IfName::new("v0").unwrap(), IfName::new("v0").unwrap()),
        "   v0|v0   |"
    );
}

#[test]
fn what_the_kernel_reports_is_a_name_with_any_bytes() {
    for (bytes, shown) in
        [(&b"br0"[..], "br0"), (b"v\xff\xfe0", r"v\xff\xfe0"), ("é\u{7f}".as_bytes(), "é\u{7f}")]
    {
        let name = IfName::reported(bytes).unwrap();
        assert_eq!((name.as_bytes(), name.to_string().as_str()), (bytes, shown));
        assert_eq!(name.as_str(), std::str::from_utf8(bytes).unwrap_or("\u{fffd}"));
    }
    assert_eq!(format!("{:?} {0:>6}|", IfName::reported(b"v\xff").unwrap()), r#""v\xff"  v\xff|"#);
    assert_ne!(IfName::reported(b"v\xff"), IfName::new(r"v\xff").ok(), "another link's");
    for none in [&b""[..], b"sixteen-letters!", b"a\0"] {
        assert_eq!(IfName::reported(none), None);
    }
}

#[test]
fn invalid_names_are_refused_with_the_rule_that_they_break() {
    for (name, rule) in [
        ("", "is empty"),
        ("sixteen-letters!", "is longer than 15 bytes"),
        // Fifteen letters, one of which has two bytes.
        ("fifteen-letterß", "is longer than 15 bytes"),
        (".", "means a folder"),
        ("..", "means a folder"),
        ("all", "means all settings or the default ones"),
        ("default", "means all settings or the default ones"),
        ("a/b", "contains '/', ':', '%' or white space"),
        ("a:b", "contains '/', ':', '%' or white space"),
        ("veth%d", "contains '/', ':', '%' or white space"),
        ("a b", "contains '/', ':', '%' or white space"),
        ("a\tb", "contains '/', ':', '%' or white space"),
        ("a\0b", "contains '/', ':', '%' or white space"),
    ] {
        let error = IfName::new(name).unwrap_err();
        assert_eq!(error.to_string(), format!("use interface name {name:?}: the name {rule}"));
        assert!(error.is_invalid_input());
    }
}
