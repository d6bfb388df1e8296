//! Networks of containers: their lists, who reaches whom, and what is left of them.

use crate::installed::Installed;
use netns_core::Namespace;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::{Host, Machine, eventually, ip, ip_json, oracle, run};

/// The newest version that the engines of Debian 12 know.
const VERSION: &str = "1.0.0";

/// A host of the test's own that does not forward. A new namespace begins with the settings of the machine's first one,
/// which others may have changed.
pub(crate) fn in_host(test: impl FnOnce(&Host) + Send) {
    tests::in_host(|host| {
        for setting in FORWARDING {
            fs::write(format!("/proc/sys/net/{setting}"), "0").expect("a setting");
        }
        test(host);
    });
}

const FORWARDING: [&str; 2] = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];

/// A network of one bridge, whose containers are masqueraded and may publish ports.
#[derive(Debug)]
pub(crate) struct Pods {
    name: &'static str,
    list: Value,
}

impl Pods {
    /// Its containers have the addresses from the first to the last one, of this subnet.
    pub(crate) fn new(name: &'static str, bridge: &'static str, subnet: &str, range: [&str; 2]) -> Self {
        let list = json!({
            "cniVersion": VERSION,
            "name": name,
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": bridge,
                    "isGateway": true,
                    "ipMasq": true,
                    "hairpinMode": true,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": "/run/engine/reserved",
                        "ranges": [[{ "subnet": subnet, "rangeStart": range[0], "rangeEnd": range[1] }]],
                        "routes": [{ "dst": "0.0.0.0/0" }],
                    },
                },
                { "type": "portmap", "capabilities": { "portMappings": true } },
            ],
        });
        Self { name, list }
    }

    /// Writes the list to where a machine's engines read lists.
    pub(crate) fn configure(&self) {
        let file =
            Path::new(Machine::FOLDER).join("etc/cni/net.d").join(self.name).with_extension("conflist");
        fs::write(file, self.list.to_string()).expect("a file");
    }

    /// Addresses that are reserved.
    pub(crate) fn reserved(&self) -> Vec<String> {
        let mut names = files(&Path::new(Machine::FOLDER).join("reserved").join(self.name));
        names.retain(|name| name.parse::<std::net::IpAddr>().is_ok());
        names
    }

    /// Calls `GC` of all plugins, with these containers' `eth0` as what is still there. No engine of Debian 12 does it.
    pub(crate) fn collect(&self, machine: &Machine, containers: &[&str]) {
        let valid: Vec<Value> = containers
            .iter()
            .map(|container| json!({ "containerID": container, "ifname": "eth0" }))
            .collect();
        for plugin in self.list["plugins"].as_array().expect("plugins") {
            let mut config = plugin.clone();
            config["name"] = self.name.into();
            config["cniVersion"] = "1.1.0".into();
            config["cni.dev/valid-attachments"] = valid.clone().into();
            let program = format!("/opt/cni/bin/{}", plugin["type"].as_str().expect("a type"));
            let mut command: Command = machine.command(&program, &[]);
            command.env("CNI_COMMAND", "GC").env("CNI_PATH", "/opt/cni/bin");
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
            let mut stdin = child.stdin.take().expect("a pipe");
            stdin.write_all(config.to_string().as_bytes()).expect("it reads");
            drop(stdin);
            let output = child.wait_with_output().expect("it ends");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "GC of {plugin}: {said}");
        }
    }
}

/// The names of files in a folder; none if it is not there.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort_unstable();
    names
}

/// Nothing of any network is left: no link but these, no record, no rule, no setting.
#[track_caller]
pub(crate) fn assert_nothing_but(links: &[&str]) {
    // A namespace whose last process was killed is the kernel's to reclaim, in its own time.
    eventually("links are gone", || self::links() == links);
    for folder in ["networks", "bridges"] {
        assert_eq!(files(&Path::new("/run/netns-cni").join(folder)), Vec::<String>::new());
    }
    for setting in FORWARDING {
        let value = fs::read_to_string(format!("/proc/sys/net/{setting}")).expect("a setting");
        assert_eq!(value, "0\n", "{setting}");
    }
    assert_eq!(run(oracle("nft").args(["list", "tables"])), "");
}

/// The host's links but `lo`.
pub(crate) fn links() -> Vec<String> {
    let links = ip_json("link show");
    let names = links.as_array().expect("links").iter().map(|link| link["ifname"].as_str().expect("a name"));
    names.filter(|name| *name != "lo").map(str::to_owned).collect()
}

/// The world outside of the host, which has `10.99.0.1` towards it, and which knows nothing of containers' addresses.
pub(crate) fn world() -> Namespace {
    let world = Namespace::create("world").expect("a namespace");
    for command in [
        "link add uplink type veth peer name eth0 netns world",
        "addr add 10.99.0.1/24 dev uplink",
        "link set uplink up",
        "-n world addr add 10.99.0.2/24 dev eth0",
        "-n world link set eth0 up",
    ] {
        ip(command);
    }
    world
}

/// The name that is served at this address and port to somebody in this namespace; "" if nobody serves one there.
pub(crate) fn served(from: &Namespace, address: &str) -> String {
    let to = address.parse().expect("an address");
    let answer = from.enter(|| {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(3)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.lines().last().map(str::to_owned)
    });
    answer.expect("inside").unwrap_or_default()
}

/// Waits until the name is served there.
pub(crate) fn serves(from: &Namespace, address: &str, name: &str) {
    eventually(&format!("{name} at {address}"), || served(from, address) == name);
}

/// Runs a story with our plugins and with Debian's. What it returns has to be the same.
pub(crate) fn with_both<T: PartialEq + std::fmt::Debug + Send>(story: impl Fn(Installed, &Host) -> T + Sync) {
    let outcomes = [Installed::Ours, Installed::Debians].map(|installed| {
        let mut outcome = None;
        in_host(|host| outcome = Some(story(installed, host)));
        outcome
    });
    // A skipped test has none.
    if let [Some(ours), Some(theirs)] = outcomes {
        assert_eq!(ours, theirs, "left ours, right Debian's");
    }
}
