use super::*;

#[test]
fn who_is_behind_a_port_has_a_word_and_words() {
    let process = Behind::Process { pid: 12, command: "sh".to_owned() };
    let pod =
        Behind::Container { name: "web".to_owned(), inside: Box::new(Behind::Named("cni-1".to_owned())) };
    assert_eq!((pod.container(), &pod.namespace().label()[..]), (Some("web"), "cni-1"));
    assert_eq!((process.container(), process.namespace()), (None, &process));
    for (behind, label, words) in [
        (pod, "web", "container web, namespace cni-1"),
        (Behind::Named("ns1".to_owned()), "ns1", "namespace ns1"),
        (process, "sh/12", "a namespace without a name, of process 12 (sh)"),
        (Behind::Id(3), "nsid 3", "a namespace of which only the kernel's id is known, 3"),
        (Behind::Here, "", "the other end is in this namespace"),
        (Behind::Nothing, "", "no namespace"),
    ] {
        assert_eq!((&*behind.label(), &*behind.to_string()), (label, words));
        let (name, slot) = (IfName::new("veth1").unwrap(), Slot::new(1).unwrap());
        let port = PortIdentity { ifindex: 7, slot, name, mac: None, behind };
        let title = if label.is_empty() { "veth1" } else { label };
        let full = if label.is_empty() { "veth1".to_owned() } else { format!("veth1 ({label})") };
        assert_eq!((&*port.title(), port.to_string()), (title, full));
    }
}
