//! An unprivileged LXC container: its root is an ordinary user of the machine.

use crate::answers::{AS_ROOT_INSIDE, COUNTED_BY_KERNEL, DONE};
use crate::rows::{Row, hold};
use crate::world::{Cgroups, ENVIRONMENT, SCRIPT, World, unique};
use std::fmt::Write;
use std::fs;
use tests::{in_host, oracle};

pub(crate) const ROWS: [Row; 1] = [Row {
    name: "unprivileged LXC",
    entered: "`lxc-execute` with `lxc.idmap`, `common.conf` and `userns.conf` of Debian's LXC 5.0",
    expected: [AS_ROOT_INSIDE, DONE, COUNTED_BY_KERNEL, DONE, DONE],
}];
/// The first of the container's ids.
const FIRST: u32 = 100_000;

#[test]
fn unprivileged() {
    in_host(|_| {
        let mut world = World::new(FIRST);
        let _ = oracle("newuidmap");
        let (name, _cgroups) = (unique(), Cgroups);
        let mut config = format!(
            "lxc.uts.name = {name}\n\
             lxc.rootfs.path = dir:{}\n\
             lxc.idmap = u 0 {FIRST} 65536\n\
             lxc.idmap = g 0 {FIRST} 65536\n\
             lxc.net.0.type = empty\n\
             lxc.cgroup.dir.container = {name}/container\n\
             lxc.cgroup.dir.monitor = {name}/monitor\n\
             lxc.cgroup.dir.monitor.pivot = {name}/pivot\n\
             lxc.include = /usr/share/lxc/config/common.conf\n\
             lxc.include = /usr/share/lxc/config/userns.conf\n\
             lxc.apparmor.profile = unconfined\n",
            world.root().display()
        );
        for (name, value) in ENVIRONMENT {
            let _ = writeln!(config, "lxc.environment = {name}={value}");
        }
        let ids = format!("root:{FIRST}:65536\n");
        fs::write(world.path("ids"), ids).unwrap();
        fs::write(world.path("config"), config).unwrap();
        let script = format!(
            "for file in subuid subgid; do mount --bind {ids} /etc/$file; done; exec \"$@\"",
            ids = world.path("ids").display()
        );
        let tool = oracle("lxc-execute").get_program().to_str().unwrap().to_owned();
        let (folder, file) = (world.folder("lxc"), world.path("config"));
        let mut words = ["/bin/sh", "-c", &script, "sh", &tool, "-n", &name].map(str::to_owned).to_vec();
        words.extend(["-P", folder.to_str().unwrap(), "-f", file.to_str().unwrap(), "--"].map(str::to_owned));
        words.extend(SCRIPT.map(str::to_owned));
        hold(&ROWS, &mut world, |_, _| words.clone());
    });
}
