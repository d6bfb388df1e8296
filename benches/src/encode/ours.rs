//! netns-core.

use super::{ADDRESS, Encoder, GATEWAY, INDEX, NAMES, PREFIX, RouteRequest};
use netns_core::address::{self, Address};
use netns_core::route::{self, Route};
use netns_core::veth::{self, Veth};
use netns_core::wire::Batch;
use netns_core::{IfName, IpNet, link};
use std::os::fd::AsFd;

/// With a batch that is used again.
#[derive(Debug, Default)]
pub struct OurEncoder(Batch);

impl Encoder for OurEncoder {
    fn name(&self) -> &'static str {
        "netns-core"
    }

    fn encode(&mut self, message: RouteRequest) -> &[u8] {
        let Self(batch) = self;
        batch.clear();
        match message {
            RouteRequest::CreateVeth => {
                let [port, eth0] = NAMES.map(|name| IfName::new(name).expect("it is a name"));
                let namespace = std::io::stdin();
                veth::encode_create(
                    batch,
                    &Veth { peer_namespace: Some(namespace.as_fd()), ..Veth::new(port, eth0) },
                );
            }
            RouteRequest::AddAddress => {
                let net = IpNet::new(ADDRESS.into(), PREFIX).expect("it is a prefix");
                address::encode_add(batch, &Address::new(INDEX, net));
            }
            RouteRequest::AddRoute => {
                let gateway = GATEWAY.into();
                route::encode_add(batch, &Route::new(IpNet::everything(gateway), Some(gateway), Some(INDEX)));
            }
            RouteRequest::GetLink => link::encode_get(batch, INDEX, true),
        }
        batch.bytes()
    }
}
