//! The metrics of the ports, made from the last reading at each request: a port that is gone has none.

use super::super::list_limit::ListLimit;
use super::series::{counter, family, gauge, label};
use super::{destinations, limits, scopes};
use netns_ebpf::layout::{Traffic, Violations};
use netns_ebpf::{Ends, Pair, PortReading, Reading};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use std::sync::{Arc, Mutex, PoisonError};

/// A counter of a port: its name, what it is, and where it is in a reading.
type PortCounter = (&'static str, &'static str, fn(&PortReading) -> u64);

const PORT: [PortCounter; 6] = [
    ("netns_port_receive_bytes_total", "Bytes received from the namespace behind the port.", |port| {
        rx(port).bytes
    }),
    ("netns_port_receive_packets_total", "Frames received from the namespace behind the port.", |port| {
        rx(port).packets
    }),
    ("netns_port_receive_segments_total", "What the received frames would be cut into on a wire.", |port| {
        rx(port).segments
    }),
    ("netns_port_transmit_bytes_total", "Bytes sent to the namespace behind the port.", |port| {
        tx(port).bytes
    }),
    ("netns_port_transmit_packets_total", "Frames sent to the namespace behind the port.", |port| {
        tx(port).packets
    }),
    ("netns_port_transmit_segments_total", "What the sent frames would be cut into on a wire.", |port| {
        tx(port).segments
    }),
];

fn rx(port: &PortReading) -> Traffic {
    port.counters.rx
}

fn tx(port: &PortReading) -> Traffic {
    port.counters.tx
}

/// The last reading, as metrics.
#[derive(Debug, Clone)]
pub(super) struct PortFamilies {
    /// The present name of the bridge.
    network: Arc<Mutex<String>>,
    /// How many pairs and destinations are listed at most.
    pairs: usize,
    verdicts: ListLimit,
    reading: Arc<Mutex<Option<Arc<Reading>>>>,
}

impl PortFamilies {
    pub(super) fn new(network: &str, (pairs, verdicts): (usize, ListLimit)) -> Self {
        let network = Arc::new(Mutex::new(network.to_owned()));
        Self { network, pairs, verdicts, reading: Arc::default() }
    }

    pub(super) fn publish(&self, network: &str, reading: Arc<Reading>) {
        network.clone_into(&mut self.network.lock().unwrap_or_else(PoisonError::into_inner));
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
    }

    fn network(&self) -> LabelPair {
        label("network", &self.network.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn families(&self, reading: &Reading) -> Vec<MetricFamily> {
        let mut families: Vec<MetricFamily> = PORT
            .into_iter()
            .map(|(name, help, value)| {
                let metric = |port: &PortReading| counter(value(port), self.labels(port));
                family(name, help, MetricType::COUNTER, reading.ports.iter().map(metric).collect())
            })
            .collect();
        let network = || vec![self.network()];
        families.push(family(
            "netns_ports",
            "Ports that are counted.",
            MetricType::GAUGE,
            vec![gauge(reading.ports.len(), network())],
        ));
        let mut source = network();
        // In the labels' order.
        source.insert(0, label("counters", reading.counted_by.name()));
        families.push(family(
            "netns_counters_info",
            "A metric of 1 whose label says what counts: the program on the ports, or the kernel alone.",
            MetricType::GAUGE,
            vec![gauge(1, source)],
        ));
        families.push(family(
            "netns_pair_lost_bytes_total",
            "Bytes that are in no pair, because the table of pairs was full.",
            MetricType::COUNTER,
            vec![counter(reading.lost.bytes, network())],
        ));
        families.push(self.lost_pairs(reading));
        families.push(self.violations(reading));
        families.extend(limits::families(reading, |port| self.labels(port)));
        families.extend(scopes::families(reading, |port| self.labels(port)));
        families.extend(destinations::families(reading, self.verdicts, &self.network(), |port| {
            self.labels(port)
        }));
        if self.pairs > 0 {
            families.extend(self.pair_families(reading));
        }
        // A family without metrics must be left out: the encoder calls it an error.
        families.retain(|family| !family.get_metric().is_empty());
        families
    }

    fn labels(&self, port: &PortReading) -> Vec<LabelPair> {
        let behind = &port.info.behind;
        let mut labels = vec![
            label("namespace", &behind.namespace().label()),
            self.network(),
            label("port", &port.info.name.to_string()),
        ];
        // An empty label is no label. In the labels' order.
        labels.splice(0..0, behind.container().map(|name| label("container", name)));
        labels
    }

    /// By port and reason, for reasons that occurred: all reasons would be fifty series a port.
    fn violations(&self, reading: &Reading) -> MetricFamily {
        let metrics = reading.ports.iter().flat_map(|port| {
            port.violations.iter().flat_map(Violations::iter).map(|(reason, packets)| {
                let mut labels = self.labels(port);
                labels.push(label("reason", reason.name()));
                counter(packets, labels)
            })
        });
        family(
            "netns_violations_total",
            "Frames from the namespace behind the port that violate its policy.",
            MetricType::COUNTER,
            metrics.collect(),
        )
    }

    /// By port; ports that lost nothing are left out.
    fn lost_pairs(&self, reading: &Reading) -> MetricFamily {
        let ports = reading.ports.iter().filter(|port| port.lost.packets > 0);
        family(
            "netns_port_pair_lost_bytes_total",
            "Bytes from the namespace behind the port that are in no pair: its share of the table, or the table, is full.",
            MetricType::COUNTER,
            ports.map(|port| counter(port.lost.bytes, self.labels(port))).collect(),
        )
    }

    /// The busiest pairs, by the ports they are between.
    fn pair_families(&self, reading: &Reading) -> [MetricFamily; 2] {
        let ends = reading.ends();
        let known = reading.pairs.iter().filter(|pair| ends.port(pair.to).is_some());
        let left_out = known.clone().count().saturating_sub(self.pairs);
        let labels = |pair: &Pair| {
            // Port names, which are unique; a port named like the host gets a name that no link can have.
            let [from, to] = [pair.from, Some(pair.to)].map(|end| match ends.name(end) {
                name if end.is_some() && name == Ends::HOST => format!("{name}/port"),
                name => name,
            });
            vec![label("from", &from), self.network(), label("to", &to)]
        };
        let metric = |pair: &Pair| counter(pair.bytes, labels(pair));
        [
            family(
                "netns_pair_bytes_total",
                "Bytes that passed from one port, or the host, to another port.",
                MetricType::COUNTER,
                Pair::busiest(known.copied(), self.pairs).iter().map(metric).collect(),
            ),
            family(
                "netns_pairs_left_out",
                "Pairs with less traffic than those that are listed.",
                MetricType::GAUGE,
                vec![gauge(left_out, vec![self.network()])],
            ),
        ]
    }
}

impl Collector for PortFamilies {
    /// None: their number is not known beforehand, and the registry only compares them for doubles.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reading.map_or_else(Vec::new, |reading| self.families(&reading))
    }
}
