//! netavark, called as podman calls it.

use super::tool;
use crate::Result;
use crate::compare::Contender;
use netns_core::Namespace;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One process to make a sandbox, one to take it down.
#[derive(Debug)]
pub struct Netavark {
    program: PathBuf,
    serial: u32,
    made: Vec<u32>,
}

impl Netavark {
    /// If it is installed; else a note that it is missing.
    pub(super) fn find() -> std::result::Result<Self, String> {
        let program = tool::find("netavark", "netavark")?;
        Ok(Self { program, serial: 0, made: Vec::new() })
    }

    fn call(&self, what: &str, number: u32) -> Result<()> {
        let mut command = tool::command(&self.program);
        command.args(["--config", "/run/netavark", what]).arg(format!("/run/netns/netavark{number}"));
        tool::run(&mut command, &configuration(number))
    }
}

/// An internal network has no firewall rules, and no default route.
fn configuration(number: u32) -> String {
    let address = format!("10.94.{}.{}", number / 250, number % 250 + 2);
    json!({
        "container_id": format!("{number:064x}"),
        "container_name": format!("netavark{number}"),
        "networks": { "bench": { "static_ips": [address], "interface_name": "eth0" } },
        "network_info": { "bench": {
            "name": "bench",
            "id": format!("{:064x}", 1),
            "driver": "bridge",
            "network_interface": "navbr0",
            "subnets": [{ "subnet": "10.94.0.0/16", "gateway": "10.94.0.1" }],
            "ipv6_enabled": false,
            "internal": true,
            "dns_enabled": false,
            "ipam_options": { "driver": "host-local" },
        } },
    })
    .to_string()
}

impl Contender for Netavark {
    fn name(&self) -> &'static str {
        "netavark"
    }

    fn make(&mut self) -> Result<Duration> {
        self.serial += 1;
        Namespace::create(&format!("netavark{}", self.serial))?;
        let begin = Instant::now();
        self.call("setup", self.serial)?;
        let time = begin.elapsed();
        self.made.push(self.serial);
        Ok(time)
    }

    fn drop_all(&mut self) -> Result<()> {
        for number in &self.made {
            self.call("teardown", *number)?;
        }
        // Not its work; a tenth of a millisecond each.
        for number in self.made.drain(..) {
            Namespace::delete(&format!("netavark{number}"))?;
        }
        Ok(())
    }
}
