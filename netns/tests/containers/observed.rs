//! podman's containers on bridges, as `netns observe` names them.

use crate::world::{Cgroups, World, contained, unique};
use serde_json::Value;
use std::path::Path;
use std::process::Output;
use tests::{in_host, oracle};

/// Two containers: one on a bridge that podman and the CNI plugins make, in a namespace with a random name; one with a
/// cable made by hand, in a namespace without a name. The engine's own files and cgroups say what they are called.
const SCRIPT: &str = r#"set -e
mount -t tmpfs engine /etc/cni
PODMAN="podman --cgroup-manager=cgroupfs --storage-driver=vfs --runtime=crun"
start() {
  # Without limits that take a controller, or a program of the kernel's, of which there may be none.
  $PODMAN run -d --privileged --pids-limit=-1 --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024 \
    --cgroup-parent=/$GROUP --name "$1" --network "$2" --rootfs /run/engine/root /bin/sleep 1000 >&2
}
start web-frontend podman
start lonely none
lonely=$($PODMAN inspect -f '{{.State.Pid}}' lonely)
ip link add by-hand type veth peer name eth1 netns "$lonely"
ip link set by-hand master cni-podman0 up
$NETNS observe cni-podman0 --once --interval 0.1 --json
$NETNS observe cni-podman0 --once --interval 0.1 --plain >&2
# The same from elsewhere: where the bridge is is said by a process, and by a path.
host=$$
for word in $host /proc/$host/ns/net; do
  unshare --net $NETNS observe cni-podman0 -n $word --once --interval 0.1 --json | tail -n 1
done
$PODMAN rm -f -t 0 web-frontend lonely >&2
"#;

#[test]
fn containers_are_observed_by_name() {
    in_host(|_| {
        let _cgroups = Cgroups;
        let _ = (oracle("podman"), oracle("crun"));
        if !Path::new("/usr/lib/cni/bridge").exists() {
            tests::skip("/usr/lib/cni/bridge missing; run: apt-get install containernetworking-plugins");
        }
        let _world = World::new(0);
        let mut command = contained("300");
        command.args(["bash", "-c", SCRIPT]);
        command.env("NETNS", env!("CARGO_BIN_EXE_netns")).env("GROUP", unique());
        let Output { status, stdout, stderr } = command.output().expect("timeout starts");
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{out}{err}");
        let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let known: Vec<&Value> = lines.iter().filter(|line| line["event"] == "known").collect();
        assert!(known.iter().any(|line| line["container"] == "web-frontend"), "{known:?}");
        let readings: Vec<&Value> = lines.iter().filter(|line| line["type"] == "counters").collect();
        assert_eq!(readings.len(), 3, "{out}{err}");
        for reading in readings {
            let ports = reading["ports"].as_array().unwrap();
            let named = |name: &str| {
                let port = ports.iter().find(|port| port["container"] == name);
                port.unwrap_or_else(|| panic!("{name} is not in {reading}"))
            };
            // The namespace's own name is shown beside it.
            let web = named("web-frontend");
            assert!(web["namespace"].as_str().unwrap().starts_with("netns-"), "{web}");
            let lonely = named("lonely");
            assert!(lonely["namespace"].as_str().unwrap().starts_with("sleep/"), "{lonely}");
            assert_eq!(lonely["port"], "by-hand");
        }
        // The output for people never shows the engine's random names.
        let table: Vec<&str> = err.lines().skip_while(|line| !line.starts_with("port")).collect();
        assert!(table.iter().any(|line| line.ends_with("  web-frontend")), "{err}");
        assert!(table.iter().any(|line| line.starts_with("by-hand") && line.ends_with("  lonely")), "{err}");
        assert!(err.lines().all(|line| line.chars().count() <= 80 || line.len() == 64), "{err}");
    });
}
