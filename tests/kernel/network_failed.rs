//! What a network that fails leaves, and what it has found out by then.

use crate::{name, net};
use netns_core::network::{Network, NetworkOptions, RecordedNetwork};
use std::fs;
use tests::in_host;

const FOLDER: &str = RecordedNetwork::FOLDER;

fn options() -> NetworkOptions {
    NetworkOptions { subnet_v4: Some(net("10.99.0.0/24")), ..NetworkOptions::new(name("sb")) }
}

#[test]
fn nothing_is_left_of_one_with_a_setting_that_is_none_of_a_namespace() {
    in_host(|host| {
        let sysctls = vec![("kernel.hostname".to_owned(), "x".to_owned())];
        let error = Network::create(&NetworkOptions { sysctls, ..options() }).unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
        host.assert_clean();
        assert!(!fs::exists(FOLDER).unwrap());
    });
}
