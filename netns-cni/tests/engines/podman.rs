//! podman 4.3 with `network_backend = "cni"`.

use crate::installed::Installed;
use crate::network::{Pods, assert_nothing_but, links, served, serves, with_both, world};
use serde_json::Value;
use std::fs;
use tests::{Host, Machine, Ran, eventually, oracle};

const CONFIG: &str = "/run/engine/containers.conf";

/// What the two kinds of plugins are compared by: what podman shows of the networks, addresses, exit codes.
#[derive(Debug, PartialEq)]
struct Story {
    network: Value,
    addresses: [String; 2],
    of_two: (Option<i32>, String),
    of_a_taken_port: Option<i32>,
}

#[test]
fn containers_of_podman() {
    with_both(story);
}

fn story(installed: Installed, host: &Host) -> Story {
    for tool in ["podman", "crun"] {
        let _ = oracle(tool);
    }
    let machine = installed.boot();
    fs::write(CONFIG, config()).expect("a file");
    let _ = tests::busybox_root();
    let first = Pods::new("first", "cni1", "10.88.1.0/24", ["10.88.1.2", "10.88.1.9"]);
    let second = Pods::new("second", "cni2", "10.88.2.0/24", ["10.88.2.2", "10.88.2.9"]);
    first.configure();
    second.configure();
    let (world, host) = (world(), host.namespace());

    let network = podman(&machine, &["network", "inspect", "first"]).fine();
    let mut network: Value = serde_json::from_str(&network).expect("JSON");
    // It is the time of the file.
    network[0].as_object_mut().expect("a network").remove("created");

    serve(&machine, "one", &["--network=first", "--publish=8080:80"]);
    serves(host, "10.88.1.2:80", "one");
    serves(&world, "10.99.0.1:8080", "one");
    serves(host, "127.0.0.1:8080", "one");
    // In two networks: both gateways, and the other container.
    let look = "ping -c 1 -W 20 10.88.1.1 >/dev/null && ping -c 1 -W 20 10.88.2.1 >/dev/null && \
                wget -qO- http://10.88.1.2 && ip -4 -o addr | grep -o 'eth.*/24' | sort && ip -4 route | sort; exit 7";
    let two = run(&machine, &["--rm", "--network=first", "--network=second"], &["sh", "-c", look]);
    assert_eq!((two.code, two.out.lines().next()), (Some(7), Some("one")), "{two:?}");
    assert!(two.out.contains("eth1"), "{two:?}");
    // A port is published for one container.
    let taken = run(&machine, &["--rm", "--network=first", "--publish=8080:80"], &["true"]);
    assert_ne!(taken.code, Some(0), "{taken:?}");
    assert_eq!((first.reserved(), second.reserved()), (vec!["10.88.1.2".to_owned()], Vec::new()));

    let before = address(&machine, "one");
    podman(&machine, &["restart", "--time=0", "one"]).fine();
    let after = address(&machine, "one");
    serves(&world, "10.99.0.1:8080", "one");
    serves(host, &format!("{after}:80"), "one");

    if installed == Installed::Ours {
        killed(&machine, host, &first, &second);
    } else {
        podman(&machine, &["rm", "--force", "--time=0", "one"]).fine();
        assert_eq!(first.reserved(), Vec::<String>::new());
    }
    eventually("nobody answers", || served(&world, "10.99.0.1:8080").is_empty());
    Story { network, addresses: [before, after], of_two: (two.code, two.out), of_a_taken_port: taken.code }
}

/// Everything is killed, and what is left of it is collected. Namespaces of podman have names, so their links stay until then.
fn killed(machine: &Machine, host: &netns_core::Namespace, first: &Pods, second: &Pods) {
    serve(machine, "three", &["--network=second"]);
    serve(machine, "four", &["--network=second"]);
    let [three, four] = ["three", "four"].map(|name| address(machine, name));
    serves(host, &format!("{three}:80"), "three");
    // One container is gone as far as the engine knows, and the other is not.
    second.collect(machine, &[&id(machine, "four")]);
    assert_eq!(second.reserved(), std::slice::from_ref(&four));
    serves(host, &format!("{four}:80"), "four");
    assert!(served(host, &format!("{three}:80")).is_empty(), "three is detached");
    podman(machine, &["rm", "--force", "--time=0", "three"]).fine();

    machine.kill_everything();
    assert!(links().iter().any(|name| name == "cni2"), "{:?}", links());
    second.collect(machine, &[]);
    assert_eq!(first.reserved().len(), 1);
    first.collect(machine, &[]);
    assert_nothing_but(&["uplink"]);
    assert_eq!((first.reserved(), second.reserved()), (Vec::new(), Vec::new()));
}

fn podman(machine: &Machine, arguments: &[&str]) -> Ran {
    let folders = ["--root=/run/engine/store", "--runroot=/run/engine/run", "--tmpdir=/run/engine/tmp"];
    let config = format!("CONTAINERS_CONF={CONFIG}");
    let front = [&[&config, "podman"][..], &folders, &["--storage-driver=vfs"]].concat();
    machine.run("env", &[&front[..], arguments].concat())
}

/// `podman run`. Without cgroups: they are not what is tested.
fn run(machine: &Machine, options: &[&str], words: &[&str]) -> Ran {
    let front = ["run", "--cgroups=disabled", "--cap-add=NET_RAW"];
    podman(machine, &[&front, options, &["--rootfs", "/run/engine/root"], words].concat())
}

/// Starts a container that serves its name.
fn serve(machine: &Machine, name: &str, options: &[&str]) {
    let [option, variable] = [format!("--name={name}"), format!("--env=NAME={name}")];
    run(machine, &[&["--detach", &option, &variable], options].concat(), &tests::SERVE).fine();
}

fn config() -> &'static str {
    r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "/etc/cni/net.d"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
"#
}

fn address(machine: &Machine, container: &str) -> String {
    inspect(machine, container, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
}

fn id(machine: &Machine, container: &str) -> String {
    inspect(machine, container, "{{.Id}}")
}

fn inspect(machine: &Machine, container: &str, format: &str) -> String {
    podman(machine, &["inspect", "--format", format, container]).fine().trim().to_owned()
}
