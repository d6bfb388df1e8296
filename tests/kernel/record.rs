//! What is ours is removed by its identity; what took its place stays.

use netns_core::record::{
    Found, NamespaceIdentity, RecordedForwarding, RecordedLink, RecordedNamespace, RecordedSysctl, Removal,
    remove_links,
};
use netns_core::sysctl::{self, Ipv4Forwarding};
use netns_core::{IfName, Namespace, RouteSocket, link};
use std::fs;
use std::os::unix::fs::symlink;
use tests::{in_host, ip, ip_json};

fn create(name: &str) -> RecordedNamespace {
    let namespace = Namespace::create(name).unwrap();
    let identity =
        NamespaceIdentity::of_new(&namespace, &mut RouteSocket::open_in(&namespace).unwrap()).unwrap();
    assert!(identity.cookie.is_some() && NamespaceIdentity::of(&namespace).unwrap().is(&identity));
    RecordedNamespace { name: name.to_owned(), identity }
}

#[test]
fn a_name_that_is_now_another_namespaces_stays() {
    in_host(|_| {
        let [kept, replaced, deleted] = ["kept", "replaced", "deleted"].map(create);
        // Several times: the kernel reuses inodes, but not cookies.
        for _ in 0..3 {
            ip("netns del replaced");
            ip("netns add replaced");
        }
        ip("netns del deleted");
        assert_eq!(kept.remove().unwrap(), Removal::Removed);
        assert_eq!(deleted.remove().unwrap(), Removal::Gone);
        let left = Removal::Left("replaced is another namespace by now".to_owned());
        assert_eq!(replaced.remove().unwrap(), left);
        assert_eq!(ip("netns list"), "replaced\n");

        // A second name of a namespace of ours is somebody else's.
        let named = Namespace::create("one").unwrap();
        named.bind("other").unwrap();
        assert!(named.unbind("one").unwrap());
        assert!(!named.unbind("one").unwrap() && !named.unbind("replaced").unwrap());
        assert!(ip("netns list").contains("other"));

        // Somebody was killed between the file and the mount: the name is free again.
        fs::write("/run/netns/kept", "").unwrap();
        assert_eq!(kept.remove().unwrap(), Removal::Removed);
        fs::write("/run/netns/kept", "a file of somebody").unwrap();
        assert!(matches!(kept.remove().unwrap(), Removal::Left(_)));
    });
}

#[test]
fn a_name_that_is_no_namespace_is_neither_opened_nor_followed() {
    in_host(|_| {
        ip("netns add there");
        fs::create_dir("/run/engine").unwrap();
        ip("netns add theirs");
        fs::write("/run/engine/theirs", "").unwrap();
        let _ = tests::run(std::process::Command::new("mount").args([
            "--bind",
            "/run/netns/theirs",
            "/run/engine/theirs",
        ]));
        ip("netns del theirs");
        symlink("/run/engine/theirs", "/run/netns/link").unwrap();
        let _ = tests::run(std::process::Command::new("mkfifo").arg("/run/netns/fifo"));
        fs::create_dir("/run/netns/folder").unwrap();

        // A name that is a symbolic link is a name all the same.
        let theirs = Namespace::open("link").unwrap();
        assert_eq!(theirs.id().unwrap(), Namespace::of_path("/run/engine/theirs").unwrap().id().unwrap());
        for name in ["fifo", "folder"] {
            let error = Namespace::open(name).unwrap_err();
            assert!(error.is_invalid_input(), "{error}");
            assert!(error.to_string().ends_with("this is not a network namespace"), "{error}");
        }
        assert_eq!(Namespace::list().unwrap(), ["fifo", "folder", "link", "there"]);

        assert!(!theirs.unbind("link").unwrap(), "the link is not the name that we made");
        Namespace::delete("link").unwrap();
        assert_eq!(Namespace::of_path("/run/engine/theirs").unwrap().id().unwrap(), theirs.id().unwrap());
        assert!(!fs::exists("/run/netns/link").unwrap());
    });
}

fn recorded(name: &str) -> RecordedLink {
    let found = &ip_json(&format!("link show {name}"))[0];
    RecordedLink {
        name: IfName::new(name).unwrap(),
        index: Some(found["ifindex"].as_u64().unwrap() as u32),
        mac: found["address"].as_str().unwrap().parse().unwrap(),
    }
}

#[test]
fn links_are_removed_by_index_and_mac_whatever_they_are_called() {
    in_host(|host| {
        let mut socket = host.socket();
        for name in ["first", "second", "third", "gone", "replaced"] {
            ip(&format!("link add {name} type bridge"));
        }
        let ours = ["first", "second", "third", "gone", "replaced"].map(recorded);
        ip("link set second name renamed");
        ip("link add second type bridge");
        ip("link del gone");
        ip("link del replaced");
        ip("link add replaced type bridge");
        ip("link add stranger type bridge");
        // Into whatever group ours might be in.
        ip("link set stranger group 1");

        assert!(
            matches!(ours[1].find(&mut socket).unwrap(), Found::Ours(link) if link.name.as_str() == "renamed")
        );
        assert_eq!(ours[3].find(&mut socket).unwrap(), Found::Gone);
        assert!(matches!(ours[4].find(&mut socket).unwrap(), Found::Other(_)));
        let removed = remove_links(&mut socket, &ours).unwrap();
        assert_eq!(removed[..4], [Removal::Removed, Removal::Removed, Removal::Removed, Removal::Gone]);
        let Removal::Left(why) = &removed[4] else { panic!("{removed:?}") };
        assert!(why.contains("is not the replaced that was made"), "{why}");
        let mut names: Vec<String> =
            link::list(&mut socket).unwrap().iter().map(|link| link.name.to_string()).collect();
        names.sort();
        assert_eq!(names, ["lo", "replaced", "second", "stranger"]);
        assert_eq!(remove_links(&mut socket, &ours[..3]).unwrap()[0], Removal::Gone);
    });
}

#[test]
fn hundreds_of_links_go_together() {
    in_host(|host| {
        let mut socket = host.socket();
        let pairs: Vec<String> =
            (0..200).map(|number| format!("link add p{number} type veth peer name q{number}")).collect();
        fs::write("/run/batch", pairs.join("\n")).unwrap();
        ip("-batch /run/batch");
        let links = link::list(&mut socket).unwrap();
        let ours: Vec<RecordedLink> = links
            .iter()
            .filter(|link| link.name.as_str().starts_with('p'))
            .map(|link| RecordedLink { name: link.name, index: Some(link.index), mac: link.mac.unwrap() })
            .collect();
        assert_eq!(ours.len(), 200);
        assert!(remove_links(&mut socket, &ours).unwrap().iter().all(|removal| *removal == Removal::Removed));
        host.assert_clean();
    });
}

#[test]
fn a_setting_that_somebody_changed_since_stays() {
    in_host(|host| {
        let namespace = host.namespace();
        let name = "net/ipv4/conf/lo/rp_filter".to_owned();
        sysctl::set(namespace, &name, "0").unwrap();
        let recorded = RecordedSysctl { name: name.clone(), before: "0".to_owned(), written: "1".to_owned() };
        assert_eq!(recorded.restore(namespace).unwrap(), Removal::Gone);
        sysctl::set(namespace, &name, "1").unwrap();
        assert_eq!(recorded.restore(namespace).unwrap(), Removal::Removed);
        sysctl::set(namespace, &name, "2").unwrap();
        assert!(matches!(recorded.restore(namespace).unwrap(), Removal::Left(_)));
        assert_eq!(sysctl::get(namespace, &name).unwrap(), "2");
        let gone = RecordedSysctl { name: "net/ipv4/conf/no/rp_filter".to_owned(), ..recorded };
        assert_eq!(gone.restore(namespace).unwrap(), Removal::Gone);

        // Somebody switched it off, and on for one interface.
        let forwarding = RecordedForwarding::of(&Ipv4Forwarding::enable(namespace).unwrap()).unwrap();
        sysctl::set(namespace, "net/ipv4/ip_forward", "0").unwrap();
        sysctl::set(namespace, "net/ipv4/conf/lo/forwarding", "1").unwrap();
        assert_eq!(forwarding.restore(namespace).unwrap(), Removal::Gone);
        assert_eq!(sysctl::get(namespace, "net/ipv4/conf/lo/forwarding").unwrap(), "1");
        sysctl::set(namespace, "net/ipv4/ip_forward", "1").unwrap();
        assert_eq!(forwarding.restore(namespace).unwrap(), Removal::Removed);
        assert_eq!(sysctl::get(namespace, "net/ipv4/ip_forward").unwrap(), "0");
    });
}
