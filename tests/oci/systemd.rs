//! systemd's `NetworkNamespacePath=`, in a systemd of the test's own: the first process of a PID namespace, with a service and
//! nothing else.

use crate::recipes;
use std::fs;
use std::path::Path;
use tests::{Machine, in_host, oracle, until};

/// Starts in a cgroup of its own. It may not change the machine's settings or its host name, and finds no units but
/// ours.
const BOOT: &str = r"set -e
mkdir /sys/fs/cgroup/systemd
echo $$ >/sys/fs/cgroup/systemd/cgroup.procs
exec unshare --pid --fork --kill-child --mount --mount-proc --propagation private --uts --cgroup /bin/sh -c '
set -e
mount -t tmpfs engine /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs engine /var/log
export container=netns SYSTEMD_UNIT_PATH=/run/engine/units
exec /lib/systemd/systemd --system --log-target=console'";

const TARGET: &str = "[Unit]\nDefaultDependencies=no\nRequires=web.service\nAfter=web.service\n";
const SERVICE: &str = "[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
DynamicUser=yes
NetworkNamespacePath=/run/netns/web
ExecStart=ping -c 1 -W 20 10.97.0.1
ExecStart=ip -4 -o addr show eth0
StandardOutput=file:/run/engine/service.log
StandardError=file:/run/engine/service.log
";

#[test]
fn a_service_in_a_named_sandbox() {
    in_host(|_| {
        for tool in ["systemd-analyze", "ping", "ip"] {
            let _ = oracle(tool);
        }
        let network = recipes::network_in_which_anybody_pings().unwrap();
        let _sandbox = network.create_named_sandbox("web").unwrap();
        let folder = Path::new(Machine::FOLDER);
        fs::create_dir_all(folder.join("units")).unwrap();
        fs::write(folder.join("units/default.target"), TARGET).unwrap();
        fs::write(folder.join("units/web.service"), SERVICE).unwrap();
        let mut machine = Machine::boot();
        machine.start("sh", &["-c", BOOT]);
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let said = until("the service's address", || {
            let said = read(&folder.join("service.log"));
            (said.contains("inet ") || said.contains("rror")).then_some(said)
        });
        assert!(
            said.contains("10.97.0.2/24") && said.contains(" 0% packet loss"),
            "{said}{}",
            read(&Machine::log("sh"))
        );
    });
}
