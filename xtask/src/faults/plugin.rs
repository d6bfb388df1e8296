//! The CNI plugin, in this process, so that `ADD`, `DEL` and `GC` can be refused and killed.

use netns::Failure;
use netns_cni::run;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{Write, stderr, stdout};

/// The container's namespace, which the setup makes.
const NETNS: &str = "/run/netns/one";

/// Everything that one call does, with the same addresses in every run.
fn configuration() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": "net1",
        "type": "netns-cni",
        "bridge": "cni0",
        "isGateway": true,
        "ipMasq": true,
        "macspoofchk": true,
        "guard": "enforce",
        "firewall": {"ingressPolicy": "isolated"},
        "snat": false,
        "ipam": {
            "type": "host-local",
            "dataDir": "/run/cni-data",
            "ranges": [[{"subnet": "10.88.1.0/24"}], [{"subnet": "fd00:88::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        },
        "runtimeConfig": {
            "ips": ["10.88.1.77/24", "fd00:88::77/64"],
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
        },
        "cni.dev/valid-attachments": [],
    })
}

/// Runs commands of the plugin one after the other; the last one decides.
pub(super) fn call(commands: &str) -> Result<(), Failure> {
    let mut outcome = Ok(());
    for command in commands.split(',') {
        outcome = call_one(command);
    }
    outcome
}

fn call_one(command: &str) -> Result<(), Failure> {
    let variable = |name: &str| {
        let value = match name {
            "CNI_COMMAND" => command,
            "CNI_CONTAINERID" => "one",
            "CNI_NETNS" => NETNS,
            "CNI_IFNAME" => "eth0",
            "CNI_PATH" => "/run",
            _ => return None,
        };
        Some(OsString::from(value))
    };
    let mut answer = Vec::new();
    let code = run(
        "netns-cni",
        variable,
        || Ok(configuration().to_string().into_bytes()),
        &mut answer,
        &mut stderr(),
    );
    let text = String::from_utf8_lossy(&answer).into_owned();
    if code == 0 {
        return stdout().write_all(&answer).map_err(|_| Failure::Closed);
    }
    Err(Failure::Kernel(text))
}
