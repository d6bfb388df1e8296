//! containerd 1.6 and its `ctr run --cni`.

use crate::image;
use crate::installed::Installed;
use crate::network::{Pods, assert_nothing_but, links, serves, with_both};
use std::fs;
use tests::{Host, Machine, Ran, ip, oracle, until};

const CONFIG: &str = "/run/engine/containerd.toml";
const RUN: [&str; 6] = ["run", "--cni", "--snapshotter", "native", "--cpu-shares", "0"];
pub(crate) const SOCKET: &str = "/run/engine/containerd.sock";

/// A machine with a containerd of its own.
#[derive(Debug)]
pub(crate) struct Containerd {
    pub(crate) machine: Machine,
}

impl Containerd {
    /// Starts one that has this network, and the image in this of containerd's namespaces.
    pub(crate) fn start(plugins: Installed, pods: &Pods, namespace: &str) -> Self {
        for tool in ["containerd", "ctr", "runc"] {
            let _ = oracle(tool);
        }
        let mut machine = plugins.boot();
        pods.configure();
        fs::write(CONFIG, config()).expect("a file");
        machine.start("containerd", &["--config", CONFIG]);
        let containerd = Self { machine };
        until("containerd answers", || (containerd.ctr(&["version"]).code == Some(0)).then_some(()));
        let archive = image::make_archive();
        let archive = archive.to_str().expect("UTF-8");
        containerd.ctr(&["-n", namespace, "images", "import", "--snapshotter", "native", archive]).fine();
        containerd
    }

    fn ctr(&self, arguments: &[&str]) -> Ran {
        let words: Vec<&str> = ["--address", SOCKET].iter().chain(arguments).copied().collect();
        let mut ran = self.machine.run("ctr", &words);
        if ran.code != Some(0) {
            ran.err += &fs::read_to_string(Machine::log("containerd")).unwrap_or_default();
        }
        ran
    }

    /// Starts a container that serves its name.
    fn serve(&self, name: &str) {
        let variable = format!("NAME={name}");
        self.ctr(&[&RUN[..], &["--detach", "--env", &variable, image::NAME, name]].concat()).fine();
    }

    /// Runs a shell with this script in a container that goes with it.
    fn run_script(&self, name: &str, script: &str) -> Ran {
        self.ctr(&[&RUN[..], &["--rm", image::NAME, name, "sh", "-c", script]].concat())
    }
}

/// Everything in folders of the test; without what asks for file systems that are not there.
fn config() -> String {
    format!(
        r#"version = 2
root = "/run/engine/containerd"
state = "/run/engine/containerd-state"
oom_score = 0
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "/run/engine/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}"
disable_cgroup = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"#,
        image = image::NAME
    )
}

/// What a container sees of its network.
const LOOK: &str = "ip -4 -o addr show eth0 | cut -c 1-60; ip -4 route";

#[test]
fn containers_of_ctr() {
    with_both(story);
}

fn story(installed: Installed, host: &Host) -> (Option<i32>, String, Option<i32>) {
    let pods = Pods::new("pods", "cni0", "10.88.1.0/24", ["10.88.1.2", "10.88.1.3"]);
    let containerd = Containerd::start(installed, &pods, "default");
    let machine = &containerd.machine;
    let host = host.namespace();

    containerd.serve("one");
    serves(host, "10.88.1.2:80", "one");
    // The gateway, and another container.
    let two = format!("ping -c 1 -W 20 10.88.1.1 >/dev/null && wget -qO- http://10.88.1.2 && {LOOK}; exit 7");
    let two = containerd.run_script("two", &two);
    assert_eq!((two.code, two.out.lines().next()), (Some(7), Some("one")), "{two:?}");
    // What has ended is detached.
    assert_eq!(pods.reserved(), ["10.88.1.2"]);
    containerd.serve("three");
    if installed == Installed::Debians {
        // It has the address that the other had, which the reference announces to nobody: the host would look for the other
        // for some seconds.
        ip("neigh flush dev cni0");
    }
    serves(host, "10.88.1.3:80", "three");
    // There is no address left.
    let four = containerd.run_script("four", "true");
    assert_ne!(four.code, Some(0), "{four:?}");
    assert_eq!(pods.reserved(), ["10.88.1.2", "10.88.1.3"]);

    if installed == Installed::Ours {
        // One container is killed; what is left of it is collected, and the other stays.
        containerd.ctr(&["task", "kill", "--signal", "SIGKILL", "three"]).fine();
        pods.collect(machine, &["default-one"]);
        assert_eq!(pods.reserved(), ["10.88.1.2"]);
        serves(host, "10.88.1.2:80", "one");
    }
    machine.kill_everything();
    if installed == Installed::Ours {
        assert!(links().contains(&"cni0".to_owned()));
        pods.collect(machine, &[]);
        assert_nothing_but(&[]);
        assert_eq!(pods.reserved(), Vec::<String>::new());
    }
    (two.code, two.out, four.code)
}
