//! What the bridges are like that nobody outside can enter.

use crate::network::shared::Shared;
use crate::network::{Network, NetworkOptions};
use crate::{IfName, Namespace, Result, link, sysctl};
use std::io::Write;

/// The responder's bridge: what it believes of routers, and whether it has IPv6 at all.
fn answers(options: &NetworkOptions) -> Result<(String, bool)> {
    let network = Network::create(options)?;
    let shared: &Shared = &network.shared;
    let mut fabric = shared.fabric();
    let namespace = fabric.responder.namespace()?;
    let accept_ra = sysctl::get(&namespace, "net/ipv6/conf/default/accept_ra")?;
    let bridge = link::get(fabric.responder.socket(), IfName::new("answers")?)?;
    Ok((accept_ra, bridge.addrgenmode.is_some()))
}

#[test]
fn the_responder_believes_no_router() {
    if let Some(missing) = crate::missing_capabilities().unwrap().first() {
        assert!(std::env::var_os("CI").is_none(), "not to be skipped on CI: {missing} missing");
        let _ = writeln!(std::io::stderr(), "SKIPPED the_responder_believes_no_router: {missing} missing");
        return;
    }
    let body = || {
        let subnet_v4 = Some("10.99.0.0/24".parse().unwrap());
        let v4 = NetworkOptions { subnet_v4, ..NetworkOptions::new(IfName::new("sb").unwrap()) };
        let v6 = NetworkOptions {
            subnet_v6: Some("fd99::/64".parse().unwrap()),
            name: IfName::new("six").unwrap(),
            ..v4.clone()
        };
        assert!(!answers(&v4).unwrap().1, "there is IPv6");
        assert_eq!(answers(&NetworkOptions { subnet_v4: None, ..v6 }).unwrap(), ("0".to_owned(), true));
    };
    Namespace::anonymous().unwrap().enter(body).unwrap();
}
