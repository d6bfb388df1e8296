//! `--metrics`: what passes, for Prometheus, in its text exposition format.

mod destinations;
mod families;
mod limits;
mod scopes;
mod series;
mod server;

use super::Losses;
use super::list_limit::ListLimit;
use crate::failure::Failure;
use crate::messages::say;
use families::PortFamilies;
use netns_ebpf::Reading;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGaugeVec, Opts, Registry};
use server::Server;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Where to serve: an address and a port, or a port of 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenAddress(SocketAddr);

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(port) = text.parse() {
            return Ok(Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        // As in other exporters: no address means every address.
        let text = match text.split_once(':') {
            Some(("", port)) => format!("0.0.0.0:{port}"),
            Some(("localhost", port)) => format!("127.0.0.1:{port}"),
            _ => text.to_owned(),
        };
        text.parse()
            .map(Self)
            .map_err(|_| "neither PORT nor ADDRESS:PORT, such as 127.0.0.1:9753 or :9753".to_owned())
    }
}

/// The metrics and the thread that serves them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Metrics {
    ports: PortFamilies,
    setup: Histogram,
    lost: IntCounter,
    lost_enforcement: IntCounter,
    _server: Server,
}

impl Metrics {
    /// Begins to serve. `listed` is how many pairs and destinations are listed at most, the busiest first.
    pub(crate) fn serve(
        ListenAddress(address): ListenAddress,
        network: &str,
        listed: (usize, ListLimit),
    ) -> Result<Self, Failure> {
        let failed = |error: prometheus::Error| Failure::Kernel(format!("metrics: {error}"));
        let registry = Registry::new();
        let ports = PortFamilies::new(network, listed);
        let options = HistogramOpts::new("netns_setup_seconds", "Time to set up one namespace on its port.")
            .buckets(prometheus::exponential_buckets(0.000_25, 2.0, 12).map_err(failed)?);
        let setup = Histogram::with_opts(options).map_err(failed)?;
        let lost = IntCounter::new(
            "netns_events_lost_total",
            "Times that the kernel's link events came faster than they were read; the ports were listed anew.",
        )
        .map_err(failed)?;
        let lost_enforcement = IntCounter::new(
            "netns_enforcement_lost_total",
            "Times that somebody removed what enforces the policies, or put a program before it.",
        )
        .map_err(failed)?;
        let options = Opts::new("netns_build_info", "A metric of 1 whose label is the version.");
        let build = IntGaugeVec::new(options, &["version"]).map_err(failed)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(ports.clone())).map_err(failed)?;
        registry.register(Box::new(setup.clone())).map_err(failed)?;
        registry.register(Box::new(lost.clone())).map_err(failed)?;
        registry.register(Box::new(lost_enforcement.clone())).map_err(failed)?;
        registry.register(Box::new(build)).map_err(failed)?;
        let server = Server::start(address, registry)
            .map_err(|error| Failure::usage(format!("serve metrics on {address}: {error}")))?;
        if address.port() == 0 {
            say(format_args!("metrics at http://{}/metrics", server.address));
        }
        Ok(Self { ports, setup, lost, lost_enforcement, _server: server })
    }

    /// Replaces the reading that is served. The network's name may have changed; ports that are not in it are gone.
    pub(crate) fn publish(&self, network: &str, reading: &Arc<Reading>, losses: Losses) {
        let Losses { events, enforcement } = losses;
        self.lost.inc_by(events.saturating_sub(self.lost.get()));
        self.lost_enforcement.inc_by(enforcement.saturating_sub(self.lost_enforcement.get()));
        self.ports.publish(network, Arc::clone(reading));
    }

    /// A namespace was set up.
    pub(crate) fn set_up(&self, time: Duration) {
        self.setup.observe(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::ListenAddress;

    #[test]
    fn a_port_alone_is_the_loopbacks() {
        assert_eq!("9753".parse(), Ok(ListenAddress("127.0.0.1:9753".parse().unwrap())));
        assert_eq!("[::1]:80".parse(), Ok(ListenAddress("[::1]:80".parse().unwrap())));
        assert_eq!("0.0.0.0:80".parse(), Ok(ListenAddress("0.0.0.0:80".parse().unwrap())));
        assert_eq!("localhost:80".parse(), Ok(ListenAddress("127.0.0.1:80".parse().unwrap())));
        assert_eq!(":80".parse(), Ok(ListenAddress("0.0.0.0:80".parse().unwrap())));
        for wrong in ["", ":", "localhost:", "localhost", "99999", "1.2.3.4"] {
            assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong}");
        }
    }
}
