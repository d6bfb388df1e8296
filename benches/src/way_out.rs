//! What the way out and its limits add to making a sandbox: a guarded one is compared, in turns, with one that also is
//! masqueraded, has an egress policy and limits, and counts scopes and verdicts.

use crate::samples::Samples;
use crate::{Result, host};
use netns_core::IfName;
use netns_core::network::{Network, NetworkOptions};
use netns_ebpf::{EgressRules, Limits, Mode, Monitor, MonitorOptions, NetworkGuard, Policy};
use std::sync::Arc;
use std::time::Instant;

/// How much more it may take.
pub const MOST: f64 = 1.03;

/// A network whose sandboxes are guarded; with everything, or without.
fn network(number: usize, has_all: bool) -> Result<Network> {
    let name = IfName::new(&format!("out{number}"))?;
    let subnet = format!("10.{}.0.0/18", 120 + number);
    let guarded = MonitorOptions { slots: 16_384, pairs: 0, ..MonitorOptions::default() };
    let program = if has_all {
        let all = MonitorOptions { egress: 1, limits: true, scopes: true, verdicts: 1 << 15, ..guarded };
        let monitor = Arc::new(Monitor::load(&all)?);
        let policy = monitor.add_egress(&EgressRules::new().with(format!("allow {subnet}").parse()?))?;
        let limits: Limits = "in=1gbit,out=100mbit,quota=10gb".parse()?;
        let amend = move |_: &_, policy| Ok(Policy { limits, ..policy });
        NetworkGuard::new(monitor, Mode::Enforce).with_egress(policy).with_policies(amend)
    } else {
        NetworkGuard::new(Arc::new(Monitor::load(&guarded)?), Mode::Enforce)
    };
    let options = NetworkOptions {
        subnet_v4: Some(subnet.parse()?),
        masquerade: has_all,
        program: Some(Arc::new(program)),
        ..NetworkOptions::new(name)
    };
    Ok(Network::create(&options)?)
}

/// How long a sandbox takes to make: without, and with everything. Some at a time, which are dropped unmeasured.
///
/// # Errors
/// If the kernel refuses.
pub fn way_out(turns: usize, each: usize) -> Result<[Samples; 2]> {
    let networks = [network(0, false)?, network(1, true)?];
    let mut samples = <[Samples; 2]>::default();
    let links = host::links()?;
    for turn in 0..turns {
        // They take turns in going first, too.
        for place in [turn % 2, 1 - turn % 2] {
            let mut kept = Vec::with_capacity(each);
            let began = Instant::now();
            for _ in 0..each {
                kept.push(networks[place].create_sandbox()?);
            }
            samples[place].push(began.elapsed() / u32::try_from(each)?);
            drop(kept);
            host::wait_for_links(links)?;
        }
    }
    Ok(samples)
}
