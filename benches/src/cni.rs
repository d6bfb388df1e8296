//! CNI plugins, called as a runtime calls them: ours and the reference's, in the same chains.

use crate::Result;
use netns_core::Namespace;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian's package has them.
const DEBIANS: &str = "/usr/lib/cni";
/// Where links to ours are made; `/run` is the bench's own.
const OURS: &str = "/run/cni-bench";

/// How many ports of the host a chain has for itself.
const PORTS: u32 = 16_000;
/// Bits a second of a container, each way.
const RATE: u64 = 1_000_000_000;

/// Whose plugins, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CniChainKind {
    /// `netns-cni` alone, which does what the chain does.
    OursInOne,
    /// Our `bridge` with `host-local`, `portmap`, `firewall` and `bandwidth`.
    Ours,
    /// Debian's.
    Debians,
}

impl CniChainKind {
    /// All.
    pub const ALL: [Self; 3] = [Self::OursInOne, Self::Ours, Self::Debians];

    /// For a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OursInOne => "ours in one call",
            Self::Ours => "ours, the chain of five",
            Self::Debians => "Debian's, the chain of five",
        }
    }

    const fn plugins(self) -> &'static [&'static str] {
        match self {
            Self::OursInOne => &["netns-cni"],
            Self::Ours | Self::Debians => &["bridge", "portmap", "firewall", "bandwidth"],
        }
    }
}

/// A network by a chain of plugins, and the containers in it.
#[derive(Debug)]
pub struct CniChain {
    kind: CniChainKind,
    folder: PathBuf,
    serial: u32,
    /// How many ports of the host each container publishes.
    ports: u32,
    /// The containers that are there, the oldest first.
    alive: Vec<Container>,
    /// Namespaces without a container. They are used again, since the kernel holds the RTNL lock while it reclaims one, and whose
    /// turn is next would wait for that.
    free: Vec<String>,
}

/// A container that is there.
#[derive(Debug)]
struct Container {
    /// Its number, which is in its id and in its ports.
    number: u32,
    namespace: String,
    /// What `ADD` resulted in.
    result: Value,
}

impl CniChain {
    /// A network without containers.
    ///
    /// # Errors
    /// If the plugins are not there: ours are built by `cargo build --release -p netns-cni`.
    pub fn new(kind: CniChainKind) -> Result<Self> {
        let folder = match kind {
            CniChainKind::Debians => PathBuf::from(DEBIANS),
            _ => PathBuf::from(OURS),
        };
        if kind != CniChainKind::Debians {
            // target/release/deps/BENCH: the programs are two folders above.
            let program = std::env::current_exe()?;
            let built = program.ancestors().nth(2).map(|folder| folder.join("netns-cni")).unwrap_or_default();
            if !built.is_file() {
                return Err(
                    format!("{} is missing: cargo build --release -p netns-cni", built.display()).into()
                );
            }
            std::fs::create_dir_all(&folder)?;
            for name in ["netns-cni", "bridge", "host-local", "portmap", "firewall", "bandwidth"] {
                let link = folder.join(name);
                if !link.exists() {
                    symlink(&built, link)?;
                }
            }
        }
        if !folder.join("bridge").exists() {
            return Err(format!(
                "{} is missing: apt-get install containernetworking-plugins",
                folder.display()
            )
            .into());
        }
        Ok(Self { kind, folder, serial: 0, ports: 1, alive: Vec::new(), free: Vec::new() })
    }

    /// Lets each container publish so many ports, of 16,000 that the chain has, which is to be a multiple of them. If that is
    /// another number than before, those that are there are detached.
    ///
    /// # Errors
    /// As [`Self::del`].
    pub fn publish(&mut self, ports: u32) -> Result<()> {
        if ports != self.ports {
            self.keep(0)?;
        }
        self.ports = ports;
        Ok(())
    }

    /// Attaches a container; how long the chain's processes took, without the namespace.
    ///
    /// # Errors
    /// If a plugin fails.
    pub fn add(&mut self) -> Result<Duration> {
        self.serial += 1;
        let number = self.serial;
        let namespace = if let Some(namespace) = self.free.pop() {
            namespace
        } else {
            let name = format!("c{}x{number}", self.kind as u32);
            Namespace::create(&name)?;
            name
        };
        let mut container = Container { number, namespace, result: Value::Null };
        let begin = Instant::now();
        for plugin in self.kind.plugins() {
            container.result = self.call("ADD", plugin, &container)?;
        }
        let time = begin.elapsed();
        self.alive.push(container);
        Ok(time)
    }

    /// Detaches the oldest container, likewise.
    ///
    /// # Errors
    /// If a plugin fails, or there is no container.
    pub fn del(&mut self) -> Result<Duration> {
        if self.alive.is_empty() {
            return Err("there is no container".into());
        }
        let container = self.alive.remove(0);
        let begin = Instant::now();
        for plugin in self.kind.plugins().iter().rev() {
            self.call("DEL", plugin, &container)?;
        }
        let time = begin.elapsed();
        self.free.push(container.namespace);
        Ok(time)
    }

    /// Attaches and detaches until so many are there.
    ///
    /// # Errors
    /// As [`Self::add`] and [`Self::del`].
    pub fn keep(&mut self, count: usize) -> Result<()> {
        while self.alive.len() < count {
            self.add()?;
        }
        while self.alive.len() > count {
            self.del()?;
        }
        Ok(())
    }

    fn call(&self, command: &str, plugin: &str, container: &Container) -> Result<Value> {
        // Each has a bridge and a port of its own kind's.
        let kind = self.kind as u32;
        let first = 10_000 + kind * PORTS;
        let published = (0..self.ports).map(|one| {
            let port = first + (container.number * self.ports + one) % PORTS;
            json!({"hostPort": port, "containerPort": 80 + one, "protocol": "tcp"})
        });
        let published: Vec<Value> = published.collect();
        let mut conf = json!({
            "cniVersion": "1.0.0", "name": format!("bench{kind}"), "type": plugin,
            "bridge": format!("cnibench{kind}"), "isGateway": true,
            "ipam": {
                "type": "host-local", "dataDir": "/run/cni-bench-data", "subnet": format!("10.{}.0.0/16", 93 + kind),
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        });
        if matches!(plugin, "netns-cni" | "portmap") {
            conf["runtimeConfig"]["portMappings"] = Value::Array(published);
        }
        if matches!(plugin, "netns-cni" | "bandwidth") {
            conf["runtimeConfig"]["bandwidth"] = json!({
                "ingressRate": RATE, "ingressBurst": RATE / 10, "egressRate": RATE, "egressBurst": RATE / 10,
            });
        }
        if plugin == "netns-cni" {
            conf["firewall"] = json!({});
        }
        if !container.result.is_null() {
            conf["prevResult"] = container.result.clone();
        }
        run(&self.folder, command, plugin, container, &conf)
    }
}

fn run(folder: &Path, command: &str, plugin: &str, container: &Container, conf: &Value) -> Result<Value> {
    let mut child = Command::new(folder.join(plugin))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", format!("c{}", container.number))
        .env("CNI_NETNS", format!("/run/netns/{}", container.namespace))
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(conf.to_string().as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{command} by {plugin}: {}", text.trim()).into());
    }
    Ok(serde_json::from_str(&text).unwrap_or_default())
}
