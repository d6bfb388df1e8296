//! CNI: the plug-ins `bridge` and `host-local`, called as a container runtime calls them.

use super::tool;
use crate::Result;
use crate::compare::Contender;
use netns_core::Namespace;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// With its state in memory, and without masquerading.
const CONFIGURATION: &str = r#"{"cniVersion":"0.4.0","name":"bench","type":"bridge","bridge":"cnibr0","isGateway":true,
"ipam":{"type":"host-local","dataDir":"/run/cni","subnet":"10.93.0.0/16","routes":[{"dst":"0.0.0.0/0"}]}}"#;

/// One process, which starts another one, to make a sandbox; and to take it down.
#[derive(Debug)]
pub struct Cni {
    bridge: PathBuf,
    serial: u32,
    made: Vec<String>,
}

impl Cni {
    /// If it is installed; else a note that it is missing.
    pub(super) fn find() -> std::result::Result<Self, String> {
        let package = "containernetworking-plugins";
        let bridge = tool::find("bridge", package).and_then(|found| {
            // iproute2 has a program of this name, too.
            let plugin = PathBuf::from("/usr/lib/cni/bridge");
            if plugin.is_file() { Ok(plugin) } else { Err(format!("{} is no CNI plug-in", found.display())) }
        });
        let bridge = bridge
            .map_err(|_| format!("CNI is not installed and left out (Debian: apt-get install {package})"))?;
        Ok(Self { bridge, serial: 0, made: Vec::new() })
    }

    fn call(&self, what: &str, namespace: &str) -> Result<()> {
        let mut command = tool::command(&self.bridge);
        command
            .env("CNI_COMMAND", what)
            .env("CNI_CONTAINERID", namespace)
            .env("CNI_NETNS", format!("/run/netns/{namespace}"))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/usr/lib/cni");
        tool::run(&mut command, CONFIGURATION)
    }
}

impl Contender for Cni {
    fn name(&self) -> &'static str {
        "CNI bridge + host-local"
    }

    fn make(&mut self) -> Result<Duration> {
        self.serial += 1;
        let name = format!("cni{}", self.serial);
        Namespace::create(&name)?;
        let begin = Instant::now();
        self.call("ADD", &name)?;
        let time = begin.elapsed();
        self.made.push(name);
        Ok(time)
    }

    fn drop_all(&mut self) -> Result<()> {
        for name in &self.made {
            self.call("DEL", name)?;
        }
        // Not its work; a tenth of a millisecond each.
        for name in self.made.drain(..) {
            Namespace::delete(&name)?;
        }
        Ok(())
    }
}
