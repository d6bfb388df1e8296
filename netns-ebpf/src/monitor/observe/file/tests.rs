use super::*;
use crate::monitor::observe::trace::Clsact;
use netns_core::{MacAddress, NamespaceId};

fn place(name: Option<&str>) -> JournalPlace {
    let id = NamespaceId { device: 4, inode: 4_026_531_840 };
    JournalPlace {
        namespace: NamespaceIdentity { cookie: Some(7), id },
        index: Some(3),
        bridge: IfName::new("br0").unwrap(),
        programs: [12, 13],
        name: name.map(str::to_owned),
    }
}

#[test]
fn a_line_is_read_as_it_was_written() {
    for name in [None, Some("lab"), Some("a name with blanks"), Some("two\nlines"), Some("-")] {
        let line = place(name).line();
        assert_eq!(JournalPlace::read(&line), Some(place(name)), "{line}");
    }
    assert_eq!(place(Some("lab")).line().to_string(), "bridge br0 3 7:4:4026531840 12 13 lab");
    for clsact in [Clsact::Unsure, Clsact::Ours, Clsact::Leaving, Clsact::NotOurs] {
        for mac in [None, Some(MacAddress::local(5))] {
            let trace = Trace { ifindex: 7, name: IfName::new("veth1").unwrap(), mac, clsact };
            assert_eq!(Trace::read(&trace.line()), Some(trace));
        }
    }
}

#[test]
fn a_name_need_not_be_text() {
    let name = IfName::reported(b"v\xff0").unwrap();
    let trace = Trace { ifindex: 7, name, mac: None, clsact: Clsact::Ours };
    assert_eq!(trace.line().to_string(), "port 7 ours v%ff0 -");
    assert_eq!(Trace::read(&trace.line()).unwrap().name, name);
}

#[test]
fn the_last_line_of_a_port_counts() {
    let trace = |ifindex, clsact| Trace { ifindex, name: IfName::new("v").unwrap(), mac: None, clsact };
    let lines = [
        place(None).line(),
        trace(7, Clsact::Unsure).line(),
        trace(8, Clsact::Unsure).line(),
        trace(7, Clsact::Ours).line(),
        Line::new(LEFT).with(8),
    ];
    let JournalLine { place: found, traces, barred, earlier } = read(Path::new("j"), &lines).ok().unwrap();
    assert_eq!((found, barred, earlier), (Some(place(None)), None, Vec::new()));
    assert_eq!(traces.into_values().collect::<Vec<_>>(), [trace(7, Clsact::Ours)]);
    for lines in [&lines[1..], &[place(None).line(), Line::new("what")]] {
        assert!(read(Path::new("j"), lines).is_err());
    }
}

#[test]
fn a_barrier_is_on_record_until_it_was_lowered() {
    let name = "netns-barrier-1".to_owned();
    let barred = Barred { name, has_learnt: true, stamp: Some(5), forwarding: [(7, 0), (8, 0x10)].into() };
    let [first, second, third] = barred.lines().collect::<Vec<_>>().try_into().unwrap();
    let written = [&first, &second, &third].map(Line::to_string);
    assert_eq!(written, ["barrier netns-barrier-1 true 5", "forwarding 7 0", "forwarding 8 16"]);
    let lines = [place(None).line(), first, second, third, Line::new(LOWERED)];
    let found = |lines| read(Path::new("j"), lines).ok().unwrap().barred;
    assert_eq!((found(&lines[..4]), found(&lines)), (Some(barred), None));
    assert!(read(Path::new("j"), &[lines[0].clone(), lines[2].clone()]).is_err());
    // Without a stamp, as it was written before there was one.
    let earlier = [lines[0].clone(), Line::new("barrier").with("b").with(false)];
    assert_eq!(found(&earlier).map(|barred| barred.stamp), Some(None));
}

#[test]
fn programs_of_before_are_on_record_beside_those_that_take_their_place() {
    let lines = [place(None).line(), Line::new(EARLIER).with(3).with(4), Line::new(EARLIER).with(5).with(6)];
    assert_eq!(read(Path::new("j"), &lines).ok().unwrap().earlier, [[3, 4], [5, 6]]);
    assert!(read(Path::new("j"), &[lines[0].clone(), Line::new(EARLIER).with(3)]).is_err());
}
