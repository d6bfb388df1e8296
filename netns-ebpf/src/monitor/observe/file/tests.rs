use super::*;

fn place(name: Option<&str>) -> Place {
    Place {
        namespace: NamespaceId { device: 4, inode: 4_026_531_840 },
        bridge: IfName::new("br0").unwrap(),
        programs: [12, 13],
        name: name.map(str::to_owned),
    }
}

#[test]
fn a_line_is_read_as_it_was_written() {
    for name in [None, Some("lab"), Some("a name with blanks")] {
        let line = place(name).line();
        assert_eq!(Place::parse(line.trim_end_matches('\n')), Some(place(name)), "{line}");
    }
    assert_eq!(place(Some("two\nlines")).line(), place(None).line());
    assert_eq!(place(Some("lab")).line(), "4 4026531840 br0 12 13 lab\n");
    for clsact in [Clsact::Unsure, Clsact::Ours, Clsact::NotOurs] {
        let trace = Trace { ifindex: 7, name: IfName::new("veth1").unwrap(), clsact };
        assert_eq!(Trace::parse(trace.line().trim_end_matches('\n')), Some(trace));
    }
}

#[test]
fn what_is_no_line_is_none() {
    for text in ["", "4 4026531840 br0 12", "4 4026531840 a/b 12 13 ", "four 5 br0 12 13 "] {
        assert_eq!(Place::parse(text), None, "{text}");
    }
    for text in ["", "7 ours", "7 mine veth1", "seven ours veth1", "7 ours veth1 and more"] {
        assert_eq!(Trace::parse(text), None, "{text}");
    }
}
