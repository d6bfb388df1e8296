//! What `ip -json` and `bridge -json` print, key by key: keys that both print have equal values; keys that only one
//! prints are listed in `keys_lists.rs`, with the reason. A key that is in no list is a failure, and so is one that is
//! listed as missing and now printed.

use crate::keys_lists::{
    ADDRESSES, FORWARDING, LINKS, NEIGHBOURS, Only, PORTS, Pair, ROUTES, ROUTES_6, STATS,
};
use crate::{done, xtask};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tests::{bridge, in_host, ip, oracle, ping, run, skip, until};

/// The entries by their names, each with its keys in one level: `stats64.rx.bytes`; lists of objects by their names
/// (`addr_info[10.1.1.1].local`), which are keys of their own. This is `local` too.
type Entries = BTreeMap<String, BTreeMap<String, Value>>;

fn entries(list: &Value, names: &[&str]) -> Entries {
    let list = list.as_array().expect("a list");
    let entries: Entries = list.iter().map(|entry| (name(entry, names), flat(entry))).collect();
    assert_eq!(entries.len(), list.len(), "two entries with the same {names:?}: {list:?}");
    entries
}

fn name(entry: &Value, names: &[&str]) -> String {
    let names = names.iter().map(|key| entry.get(key).map_or(String::new(), |name| format!("{key} {name} ")));
    names.collect()
}

fn flat(value: &Value) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    collect(value, String::new(), &mut keys);
    keys
}

fn collect(value: &Value, path: String, keys: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(value, path, keys);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for entry in list {
                let local = entry["local"].as_str().unwrap_or_default();
                collect(entry, format!("{path}[{local}]"), keys);
            }
        }
        value => drop(keys.insert(path, value.clone())),
    }
}

/// `addr_info[10.1.1.1].label` is `addr_info.label`.
fn key(path: &str) -> String {
    match (path.find('['), path.rfind(']')) {
        (Some(start), Some(end)) => path[..start].to_owned() + &path[end + 1..],
        _ => path.to_owned(),
    }
}

fn is_listed(key: &str, list: Only) -> bool {
    let mut listed = list.iter().flat_map(|(keys, _)| keys.split_whitespace());
    listed.any(|listed| key.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The keys that one side prints and the other does not.
fn without(some: &Entries, others: &Entries) -> BTreeSet<String> {
    let keys = some.iter().flat_map(|(name, entry)| {
        let other = &others[name];
        entry.keys().filter(|path| !other.contains_key(*path)).map(|path| key(path))
    });
    keys.collect()
}

/// What both sides print, with the values of the first.
fn common(some: &Entries, others: &Entries) -> Entries {
    let keep = |(name, entry): (&String, &BTreeMap<String, Value>)| {
        let kept = entry.iter().filter(|(path, _)| others.get(name).is_some_and(|o| o.contains_key(*path)));
        (name.clone(), kept.map(|(path, value)| (path.clone(), value.clone())).collect())
    };
    some.iter().map(keep).collect()
}

fn ours(pair: &Pair, netns: &str) -> Value {
    let netns = if netns.is_empty() { String::new() } else { format!(" -n {netns}") };
    let run = done(&mut xtask(&format!("{}{netns} --json", pair.ours)));
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", pair.ours);
    serde_json::from_str(&run.out).expect("JSON")
}

fn theirs(pair: &Pair, netns: &str) -> Value {
    let (tool, arguments) = pair.theirs.split_once(' ').expect("arguments");
    let mut command = oracle(tool);
    if !netns.is_empty() {
        command.args(["-n", netns]);
    }
    let mut value: Value =
        serde_json::from_str(&run(command.arg("-json").args(arguments.split_whitespace()))).expect("JSON");
    let list = value.as_array_mut().expect("a list");
    // What a filter leaves out is an empty object in some versions.
    list.retain(|entry| entry.as_object().is_some_and(|entry| !entry.is_empty()));
    if tool == "bridge" {
        honest_link(list, netns);
    }
    value
}

/// If a port's other end is in another namespace, its index belongs to that namespace. `bridge` does not look where it
/// is, and takes it for a link of this namespace: it prints that link's name, and `M-DOWN` if that is down or does not
/// exist.
fn honest_link(ports: &mut [Value], netns: &str) {
    let links = theirs(&LINKS, netns);
    let elsewhere: BTreeSet<&str> = links
        .as_array()
        .expect("a list")
        .iter()
        .filter(|link| link.get("link_netnsid").is_some())
        .filter_map(|link| link["ifname"].as_str())
        .collect();
    for port in ports {
        if port["ifname"].as_str().is_some_and(|name| elsewhere.contains(name)) {
            let port = port.as_object_mut().expect("an object");
            port.remove("link");
            if let Some(flags) = port.get_mut("flags").and_then(Value::as_array_mut) {
                flags.retain(|flag| flag != "M-DOWN");
            }
        }
    }
}

/// Compares the two. Some values change by themselves (counters, remaining seconds), so ours is read between two equal
/// readings of theirs.
fn compare(pair: &Pair, netns: &str) {
    let (ours, theirs) = until(pair.theirs, || {
        let read = || entries(&theirs(pair, netns), pair.names);
        let before = read();
        let ours = entries(&ours(pair, netns), pair.names);
        let after = read();
        (common(&before, &ours) == common(&after, &ours)).then_some((ours, after))
    });
    assert!(!ours.is_empty(), "{} in {netns:?} has something to compare", pair.ours);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{}", pair.ours);
    for (name, entry) in common(&ours, &theirs) {
        for (path, value) in entry {
            assert_eq!(value, theirs[&name][&path], "{path} of {name}: {}", pair.ours);
        }
    }
    let reported: BTreeSet<String> =
        ours.values().flat_map(|entry| entry.keys().map(|path| key(path))).collect();
    for (some, others, list, what) in
        [(&theirs, &ours, pair.missing, "is missing"), (&ours, &theirs, pair.more, "is ours alone")]
    {
        let unlisted: Vec<String> =
            without(some, others).into_iter().filter(|key| !is_listed(key, list)).collect();
        assert!(unlisted.is_empty(), "{}: {what}, and not listed: {unlisted:?}", pair.ours);
    }
    let closed: Vec<&String> = reported.iter().filter(|key| is_listed(key, pair.missing)).collect();
    assert!(closed.is_empty(), "{}: listed as missing, and printed: {closed:?}", pair.ours);
}

/// A bridge with a port into `ns1`, one whose other end is here and down, addresses of all kinds, routes, neighbours
/// and forwarding entries, made by iproute2.
fn town() {
    if tests::has_tun() {
        ip("tuntap add dev t0 mode tap user 1 group 2 multi_queue vnet_hdr");
    }
    for command in [
        "netns add ns1",
        "netns add ns2",
        "link add br0 address 02:00:00:00:00:fe type bridge",
        "link add port index 77 type veth peer name eth0 netns ns1",
        "link add near group 9 mtu 1400 txqueuelen 50 type veth peer name far",
        "link set port up master br0",
        "link set near up master br0",
        "link set br0 up",
        "link set br0 alias a\u{20ac}b",
        "link property add dev br0 altname another-name-of-the-bridge",
        "link set far addrgenmode none",
        "link add m0 link far type macvlan mode bridge",
        "link add x0 type vxlan id 5 remote 10.0.0.2 local 10.0.0.1 dev near dstport 4789 ttl 7",
        "link add x1 type vxlan id 6 group ff05::1 dev near dstport 8472 nolearning proxy",
        "-n ns1 link set eth0 addrgenmode random",
        "-n ns1 link set lo up",
        "-n ns1 link set eth0 up",
        "addr add 10.1.1.254/24 brd + dev br0",
        "addr add 10.5.0.1/24 dev br0 valid_lft 1000 preferred_lft 500",
        "addr add 10.5.0.2/24 dev br0 noprefixroute",
        "addr add 10.5.0.3/24 dev br0 metric 7",
        "addr add 10.5.9.2 peer 10.5.9.3/30 dev br0 label br0:x",
        "addr add fd00:1::fe/64 dev br0 nodad",
        "addr add fd00:2::fe/64 dev br0 nodad valid_lft 1000 preferred_lft 0",
        "addr add fd00:3::1 peer fd00:3::2/64 dev br0 nodad noprefixroute home",
        // Its link is down, so it cannot be resolved.
        "addr add fd00:4::1/64 dev far",
        "-n ns1 addr add 10.1.1.1/24 dev eth0",
        "-n ns1 addr add fd00:1::1/64 dev eth0 nodad",
        "route add default via 10.1.1.1",
        "route add 10.9.0.0/16 dev br0 metric 7 proto static",
        "route add 10.9.9.9 dev br0 src 10.1.1.254",
        "route add blackhole 10.66.0.0/16",
        "route add 10.67.0.0/16 via 10.77.0.1 dev br0 onlink proto 77",
        "route add 10.68.0.0/16 via inet6 fd00:1::5 dev br0",
        "route add 10.69.0.0/16 nexthop via 10.1.1.1 nexthop via 10.1.1.2",
        "route add 10.70.0.0/16 dev br0 mtu 1300 advmss lock 1000",
        "route add 10.71.0.0/16 dev br0 tos 0x10 realm 7",
        "route add 10.72.0.0/16 dev br0 tos AF11 realms 3/9",
        "route add 10.73.0.0/16 nexthop via 10.1.1.1 weight 9 realm 4 nexthop dev br0",
        "route add 10.75.0.0/16 nexthop via 10.1.1.1 realms 3/5 nexthop dev br0",
        "nexthop add id 1 via 10.1.1.1 dev br0",
        "route add 10.74.0.0/16 nhid 1",
        "-6 route add default via fd00:1::1",
        "-6 route add unreachable fd66::/64",
        "-6 route add fd67::/64 via fd00:1::1 dev br0 metric 9 pref high proto dhcp",
        "-6 route add fd69::/64 from fd00:1::/64 dev br0",
        "-6 route add fd68::/64 dev br0 src fd00:1::fe expires 500",
        "-6 route add fd72::/64 encap seg6 mode encap segs fd00:1::9 dev br0",
        "neigh add 10.1.1.9 lladdr 02:00:00:00:00:09 dev br0",
        "neigh add 10.1.1.10 lladdr 02:00:00:00:00:10 dev br0 nud stale router",
        "neigh add 10.1.1.12 lladdr 02:00:00:00:00:12 dev br0 protocol static extern_learn",
        "neigh add fd00:1::9 lladdr 02:00:00:00:00:09 dev br0",
    ] {
        ip(command);
    }
    for command in [
        "fdb add 02:00:00:00:00:05 dev port master static",
        "fdb add 02:00:00:00:00:06 dev port master dynamic extern_learn",
        "fdb add 02:00:00:00:00:07 dev port master static sticky",
    ] {
        bridge(command);
    }
    ping("-c 1", "10.1.1.1");
}

#[test]
fn links_and_counters() {
    in_host(|_| {
        town();
        for netns in ["", "ns1"] {
            compare(&LINKS, netns);
            compare(&STATS, netns);
        }
        // A single link has the same keys, including the names of its bridge and of its other end.
        let one = Pair { ours: "link show near", theirs: "ip -details -statistics link show near", ..LINKS };
        compare(&one, "");
    });
}

#[test]
fn addresses() {
    in_host(|_| {
        town();
        compare(&ADDRESSES, "");
        compare(&ADDRESSES, "ns1");
        let far = done(&mut xtask("addr show far")).out;
        assert_eq!(far, "far             fd00:4::1/64 (tentative)\n");
        let br0 = done(&mut xtask("addr show br0")).out;
        assert!(br0.contains(" 10.5.9.2 peer 10.5.9.3/30 "), "{br0}");
        assert!(br0.contains(" fd00:2::fe/64 (deprecated, valid_lft "), "{br0}");
    });
}

/// The lines of a text without trailing white space and without seconds, which go by.
fn lines(text: &str) -> BTreeSet<String> {
    let words = text.lines().map(|line| line.split_whitespace().filter(|word| !word.ends_with("sec")));
    words.map(|words| words.collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn routes() {
    in_host(|_| {
        town();
        for netns in ["", "ns1"] {
            compare(&ROUTES, netns);
            compare(&ROUTES_6, netns);
        }
        // The text is also as theirs.
        let theirs = ip("route show") + &ip("-6 route show");
        // But for what is listed as missing.
        let theirs = lines(&theirs.replace(" mode encap segs 1 [ fd00:1::9 ]", ""));
        let ours = lines(&(done(&mut xtask("route show")).out + &done(&mut xtask("route show -6")).out));
        assert_eq!(ours, theirs);
    });
}

#[test]
fn neighbours() {
    in_host(|_| {
        town();
        compare(&NEIGHBOURS, "");
        compare(&NEIGHBOURS, "ns1");
        let theirs = |text: &str| text.contains("10.1.1.10 dev br0 lladdr 02:00:00:00:00:10 router STALE");
        assert!(theirs(&ip("neigh")) && theirs(&done(&mut xtask("neigh")).out));
    });
}

#[test]
fn ports_and_forwarding_entries() {
    in_host(|_| {
        town();
        compare(&PORTS, "");
        compare(&FORWARDING, "");
        // On a kernel with VLANs, an address is listed once for each VLAN.
        let mut filter = oracle("ip");
        filter.args(["link", "set", "br0", "type", "bridge", "vlan_filtering", "1"]);
        if filter.output().unwrap().status.success() {
            compare(&FORWARDING, "");
        }
        let near = done(&mut xtask("bridge link show dev near")).out;
        let theirs = bridge("link show dev near");
        assert!(near.starts_with(theirs.trim_end()), "{near}{theirs}");
        let theirs = lines(&bridge("fdb show br br0"));
        let ours = lines(&done(&mut xtask("bridge fdb show br br0")).out);
        assert_eq!(ours, theirs);
    });
}

#[test]
fn names_of_namespaces_and_their_ids() {
    in_host(|_| {
        town();
        let sorted = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        // A namespace has an id once a link's other end is in it; `ns2` has none.
        assert_eq!(done(&mut xtask("netns list")).out, "ns1 (id: 0)\nns2\n");
        assert_eq!(sorted(done(&mut xtask("netns list")).out), sorted(ip("netns list")));
        let theirs: Value =
            serde_json::from_str(&run(oracle("ip").args(["-json", "netns", "list"]))).unwrap();
        let ours: Value = serde_json::from_str(&done(&mut xtask("netns list --json")).out).unwrap();
        assert_eq!(entries(&ours, &["name"]), entries(&theirs, &["name"]));
    });
}

#[test]
fn a_link_that_is_not_ethernet() {
    in_host(|_| {
        let made = oracle("ip").args(["tuntap", "add", "dev", "tun0", "mode", "tun"]).output().unwrap();
        if !made.status.success() {
            skip("/dev/net/tun missing; run: modprobe tun");
        }
        ip("link set tun0 up");
        ip("addr add 10.0.0.1 peer 10.0.0.2/32 dev tun0");
        compare(&LINKS, "");
        compare(&ADDRESSES, "");
        let shown = done(&mut xtask("link show tun0")).out;
        assert!(shown.contains("\n    link/none type tun\n"), "{shown}");
    });
}
