//! netns-core.

use super::{ADDRESS, Encoder, GATEWAY, INDEX, Message, NAMES, PREFIX};
use netns_core::address::{self, Address};
use netns_core::route::{self, Route};
use netns_core::veth::{self, Veth};
use netns_core::wire::Batch;
use netns_core::{IfName, IpNet, link};
use std::os::fd::AsFd;

/// With a batch that is used again.
#[derive(Debug, Default)]
pub struct Ours(Batch);

impl Encoder for Ours {
    fn name(&self) -> &'static str {
        "netns-core"
    }

    fn encode(&mut self, message: Message) -> &[u8] {
        let Self(batch) = self;
        batch.clear();
        match message {
            Message::CreateVeth => {
                let [port, eth0] = NAMES.map(|name| IfName::new(name).expect("it is a name"));
                let namespace = std::io::stdin();
                veth::encode_create(
                    batch,
                    &Veth { peer_namespace: Some(namespace.as_fd()), ..Veth::new(port, eth0) },
                );
            }
            Message::AddAddress => {
                let net = IpNet::new(ADDRESS.into(), PREFIX).expect("it is a prefix");
                address::encode_add(batch, &Address::new(INDEX, net));
            }
            Message::AddRoute => {
                let gateway = GATEWAY.into();
                route::encode_add(batch, &Route::new(IpNet::everything(gateway), Some(gateway), Some(INDEX)));
            }
            Message::GetLink => link::encode_get(batch, INDEX, true),
        }
        batch.bytes()
    }
}
