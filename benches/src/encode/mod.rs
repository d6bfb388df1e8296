//! Writing the same messages with three libraries.

mod neli;
mod ours;
mod packet_route;

use crate::allocations;
use crate::samples::Samples;
use serde::Serialize;
use std::hint::black_box;
use std::time::Instant;

pub use neli::Neli;
pub use ours::OurEncoder;
pub use packet_route::PacketRoute;

/// A request to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteRequest {
    /// A veth pair, with its peer in another namespace and one queue.
    CreateVeth,
    /// An IPv4 address.
    AddAddress,
    /// A default route.
    AddRoute,
    /// The description of a link, by index.
    GetLink,
}

impl RouteRequest {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::CreateVeth, Self::AddAddress, Self::AddRoute, Self::GetLink];

    /// What it is called in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateVeth => "create veth in a namespace",
            Self::AddAddress => "add address",
            Self::AddRoute => "add route",
            Self::GetLink => "get link",
        }
    }
}

/// The pair: names, and the descriptor that stands for the peer's namespace.
const NAMES: [&str; 2] = ["port1", "eth0"];
const NAMESPACE: i32 = 0;
/// The interface.
const INDEX: u32 = 7;
const ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 1, 1, 2);
const BROADCAST: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 1, 1, 255);
const PREFIX: u8 = 24;
const GATEWAY: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 1, 1, 1);

/// A library that writes messages.
pub trait Encoder {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Writes a message into its buffer from scratch: only names, indexes and addresses are given.
    fn encode(&mut self, message: RouteRequest) -> &[u8];
}

/// All of them, ours first.
#[must_use]
pub fn all() -> [Box<dyn Encoder>; 3] {
    [Box::<OurEncoder>::default(), Box::<PacketRoute>::default(), Box::<Neli>::default()]
}

/// What was measured of one message in one library.
#[derive(Debug, Clone, Serialize)]
pub struct Encoded {
    /// The message.
    pub message: &'static str,
    /// The library.
    pub library: &'static str,
    /// Nanoseconds.
    pub nanos: f64,
    /// How often the heap was asked for something, if that is counted.
    pub allocations: u64,
    /// How long the message is.
    pub bytes: usize,
}

/// Writes each message `times` times in each library, in `turns` turns; medians of the turns.
#[must_use]
pub fn measure(turns: usize, times: u32) -> Vec<Encoded> {
    let mut encoders = all();
    let mut results = Vec::new();
    for message in RouteRequest::ALL {
        let mut samples = vec![Samples::default(); encoders.len()];
        for _ in 0..turns {
            for (encoder, samples) in encoders.iter_mut().zip(&mut samples) {
                let begin = Instant::now();
                for _ in 0..times {
                    black_box(encoder.encode(black_box(message)));
                }
                samples.push(begin.elapsed());
            }
        }
        for (encoder, samples) in encoders.iter_mut().zip(samples) {
            let (bytes, allocations) = allocations::during(|| encoder.encode(message).len());
            results.push(Encoded {
                message: message.name(),
                library: encoder.name(),
                nanos: samples.median_us() * 1e3 / f64::from(times),
                allocations,
                bytes,
            });
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::{RouteRequest, all};

    /// The libraries differ in whether the kind's name, "veth", ends with a NUL; the kernel takes it either way.
    #[test]
    fn all_libraries_write_the_same() {
        let [mut ours, others @ ..] = all();
        for mut other in others {
            for message in RouteRequest::ALL {
                let (one, two) = (ours.encode(message).to_vec(), other.encode(message).to_vec());
                if message == RouteRequest::CreateVeth && one.len() != two.len() {
                    assert_eq!(one.len() - 4, two.len(), "{}", other.name());
                    continue;
                }
                assert_eq!(one, two, "{message:?} by {}", other.name());
            }
        }
    }
}
