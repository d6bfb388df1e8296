//! podman, which takes the path of a namespace.

use crate::recipes;
use tests::{Machine, busybox_root, in_host, oracle};

/// podman passes the path on to other processes, so it has to mean the same to all of them. A name does, `/proc/self`
/// does not.
#[test]
fn by_name() {
    in_host(|_| {
        for tool in ["podman", "crun"] {
            let _ = oracle(tool);
        }
        let network = recipes::network_in_which_anybody_pings().unwrap();
        let _sandbox = network.create_named_sandbox("web").unwrap();
        // The machine has the mounts that exist when it boots, the name among them.
        let (machine, root) = (Machine::boot(), busybox_root());
        let script = "ping -c 1 -W 20 10.97.0.1 >/dev/null && ip -4 -o addr show eth0 && echo /sys/class/net/*; exit 7";
        let folders = ["--root=/run/engine/store", "--runroot=/run/engine/run", "--tmpdir=/run/engine/tmp"];
        let front = ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--runtime=crun", "run", "--rm"];
        let limits = ["--cgroups=disabled", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
        let back = ["--cap-add=NET_RAW", "--network=ns:/run/netns/web", "--rootfs", root.to_str().unwrap()];
        let words = [&folders[..], &front, &limits, &back, &["sh", "-c", script]].concat();
        let ran = machine.run("podman", &words);
        assert_eq!(ran.code, Some(7), "{ran:?}");
        assert!(ran.out.contains("10.97.0.2/24"), "{ran:?}");
        assert!(ran.out.ends_with("/sys/class/net/eth0 /sys/class/net/lo\n"), "{ran:?}");
    });
}
