//! `ip`, a process for every command.

use super::tool;
use crate::Result;
use crate::compare::Contender;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The bridge.
const BRIDGE: &str = "ipbr0";

/// The ten commands that make a sandbox.
pub(super) fn commands(number: u32) -> [String; 10] {
    let (namespace, port, inside) = (format!("ip{number}"), format!("ipp{number}"), format!("ipv{number}"));
    let address = format!("10.91.{}.{}/16", number / 250, number % 250 + 2);
    [
        format!("netns add {namespace}"),
        format!("link add {port} type veth peer name {inside}"),
        format!("link set {inside} netns {namespace}"),
        format!("link set {port} master {BRIDGE}"),
        format!("link set {port} up"),
        format!("-n {namespace} link set lo up"),
        format!("-n {namespace} link set {inside} name eth0"),
        format!("-n {namespace} addr add {address} dev eth0"),
        format!("-n {namespace} link set eth0 up"),
        format!("-n {namespace} route add default via 10.91.0.1"),
    ]
}

/// Ten processes to make a sandbox, one to take it down.
#[derive(Debug)]
pub struct Ip {
    program: PathBuf,
    serial: u32,
    made: Vec<u32>,
}

impl Ip {
    /// Makes the bridge, if it is not there.
    pub(super) fn new(program: PathBuf) -> Result<Self> {
        let ip = Self { program, serial: 0, made: Vec::new() };
        ip.ip(&format!("link add {BRIDGE} type bridge"))?;
        ip.ip(&format!("addr add 10.91.0.1/16 dev {BRIDGE}"))?;
        ip.ip(&format!("link set {BRIDGE} up"))?;
        Ok(ip)
    }

    fn ip(&self, arguments: &str) -> Result<()> {
        tool::run(tool::command(&self.program).args(arguments.split(' ')), "")
    }
}

impl Contender for Ip {
    fn name(&self) -> &'static str {
        "ten ip commands"
    }

    fn make(&mut self) -> Result<Duration> {
        self.serial += 1;
        let commands = commands(self.serial);
        let begin = Instant::now();
        for command in &commands {
            self.ip(command)?;
        }
        let time = begin.elapsed();
        self.made.push(self.serial);
        Ok(time)
    }

    fn drop_all(&mut self) -> Result<()> {
        for number in std::mem::take(&mut self.made) {
            self.ip(&format!("netns del ip{number}"))?;
        }
        Ok(())
    }
}
