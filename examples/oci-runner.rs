//! Runs OCI bundles, each in a sandbox of its own, by any engine that takes the path of a network namespace:
//!
//! ```text
//! oci-runner ENGINE BUNDLE..          oci-runner "crun --cgroup-manager=disabled" web worker
//! ```
//!
//! The sandboxes are of one network. Each container has its address in the variable `ADDRESS`, and any user in it may ping. The
//! exit code is the largest of the containers', or 125 if one could not be run.

use netns_core::IfName;
use netns_core::network::{Network, NetworkOptions, Sandbox};
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, bundles @ ..] = &arguments[..] else {
        eprintln!("usage: oci-runner ENGINE BUNDLE..");
        return ExitCode::from(125);
    };
    run(engine, bundles).unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(125)
    })
}

fn run(engine: &str, bundles: &[String]) -> Result<ExitCode> {
    let network = Network::create(&NetworkOptions {
        subnet_v4: Some("10.97.0.0/24".parse()?),
        // Who is not root pings by datagram sockets, which the kernel gives to these groups only, and to none in a new
        // namespace.
        sysctls: vec![("net.ipv4.ping_group_range".into(), "0 2147483647".into())],
        ..NetworkOptions::new(IfName::new("oci")?)
    })?;
    let folder = Folder::make()?;
    let mut containers = Vec::new();
    for (number, bundle) in bundles.iter().enumerate() {
        containers.push(Container::start(engine, &network, Path::new(bundle), &folder.0, number)?);
    }
    let mut largest = 0;
    for container in &mut containers {
        // A signal that ended the engine is a failure like others.
        let code = container.engine.wait()?.code().unwrap_or(125);
        largest = largest.max(u8::try_from(code).unwrap_or(125));
    }
    drop(containers);
    // The kernel takes namespaces apart in its own time; the bridge goes with the network.
    network.wait_reclaimed(Duration::from_secs(10))?;
    Ok(ExitCode::from(largest))
}

/// A container that runs.
struct Container {
    engine: Child,
    // The descriptor in it is what the engine opens, so it lives as long.
    _sandbox: Sandbox,
}

impl Container {
    fn start(engine: &str, network: &Network, bundle: &Path, folder: &Path, number: usize) -> Result<Self> {
        let sandbox = network.create_sandbox()?;
        let bundle = prepare(bundle, &sandbox, folder, number)?;
        let mut words = engine.split_whitespace();
        let mut command = Command::new(words.next().ok_or("no engine")?);
        let name = format!("oci-runner-{}-{number}", std::process::id());
        // Not `sandbox.spawn`: the engine stays outside, and enters when it makes the container.
        let engine = command.args(words).args(["run", "--bundle"]).arg(bundle).arg(name).spawn()?;
        Ok(Self { engine, _sandbox: sandbox })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Of one whose fellow could not be started.
        let _ = self.engine.kill();
        let _ = self.engine.wait();
    }
}

/// Writes a bundle like the given one, in the sandbox.
fn prepare(bundle: &Path, sandbox: &Sandbox, folder: &Path, number: usize) -> Result<PathBuf> {
    let mut config: Value = serde_json::from_str(&fs::read_to_string(bundle.join("config.json"))?)?;
    // By our pid: the engine and its children have other descriptors, and `/proc/self` is theirs.
    let path = format!("/proc/{}/fd/{}", std::process::id(), sandbox.namespace()?.as_raw_fd());
    let namespaces = config["linux"]["namespaces"].as_array_mut().ok_or("a bundle without namespaces")?;
    namespaces.retain(|namespace| namespace["type"] != "network");
    namespaces.push(json!({ "type": "network", "path": path }));
    let root =
        fs::canonicalize(bundle.join(config["root"]["path"].as_str().ok_or("a bundle without a root")?))?;
    config["root"]["path"] = root.to_str().ok_or("a path that is not UTF-8")?.into();
    let address = sandbox.address_v4().ok_or("the network has a subnet")?.address();
    let environment = config["process"]["env"].as_array_mut().ok_or("a bundle without an environment")?;
    environment.push(format!("ADDRESS={address}").into());
    let prepared = folder.join(number.to_string());
    fs::create_dir(&prepared)?;
    fs::write(prepared.join("config.json"), config.to_string())?;
    Ok(prepared)
}

/// A folder that goes with this.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let folder = PathBuf::from(format!("/run/oci-runner-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
