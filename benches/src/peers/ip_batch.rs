//! `ip -batch`: a process for the commands on the host, one for those inside.

use super::tool;
use crate::Result;
use crate::compare::Contender;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The bridge.
const BRIDGE: &str = "batchbr0";

/// Two processes to make a sandbox, one to take it down.
#[derive(Debug)]
pub struct IpBatch {
    program: PathBuf,
    serial: u32,
    made: Vec<u32>,
}

impl IpBatch {
    /// Makes the bridge.
    pub(super) fn new(program: PathBuf) -> Result<Self> {
        let ip = Self { program, serial: 0, made: Vec::new() };
        let commands = format!(
            "link add {BRIDGE} type bridge\naddr add 10.92.0.1/16 dev {BRIDGE}\nlink set {BRIDGE} up\n"
        );
        ip.batch(None, &commands)?;
        Ok(ip)
    }

    /// Runs commands, in a namespace if one is named.
    fn batch(&self, namespace: Option<&str>, commands: &str) -> Result<()> {
        let mut command = tool::command(&self.program);
        if let Some(namespace) = namespace {
            command.args(["-n", namespace]);
        }
        tool::run(command.args(["-batch", "-"]), commands)
    }
}

impl Contender for IpBatch {
    fn name(&self) -> &'static str {
        "ip -batch"
    }

    fn make(&mut self) -> Result<Duration> {
        self.serial += 1;
        let number = self.serial;
        let namespace = format!("batch{number}");
        // The same as the ten commands, each in its fastest form: the peer is born in its namespace.
        let outside = format!(
            "netns add {namespace}\n\
             link add batchp{number} up master {BRIDGE} type veth peer name eth0 netns {namespace}\n"
        );
        let inside = format!(
            "link set lo up\n\
             addr add 10.92.{}.{}/16 dev eth0\n\
             link set eth0 up\n\
             route add default via 10.92.0.1\n",
            number / 250,
            number % 250 + 2
        );
        let begin = Instant::now();
        self.batch(None, &outside)?;
        self.batch(Some(&namespace), &inside)?;
        let time = begin.elapsed();
        self.made.push(number);
        Ok(time)
    }

    fn drop_all(&mut self) -> Result<()> {
        for number in std::mem::take(&mut self.made) {
            self.batch(None, &format!("netns del batch{number}\n"))?;
        }
        Ok(())
    }
}
