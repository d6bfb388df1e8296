//! MAC addresses that a file does not give: made of what an interface is called, so that it has the same one whenever the
//! topology is brought up, and neighbours outside of it go on reaching it.

use crate::error::Result;
use crate::record::fnv1a;
use crate::topology::LinkName;
use netns_core::record::NamespaceIdentity;
use netns_core::{MacAddress, Namespace, RouteSocket};
use std::fs;
use std::path::Path;

/// Distinguishes this machine from those that it may share a link with.
const MACHINE: &str = "/etc/machine-id";

/// What all addresses of a topology are made of.
#[derive(Debug)]
pub(super) struct MacSource(Vec<u8>);

impl MacSource {
    /// That of a file that is brought up from this namespace on this machine.
    pub(super) fn new(file: &Path, host: &Namespace, socket: &mut RouteSocket) -> Result<Self> {
        // Where there is none, as in many containers, the namespace has to do.
        let mut seed = fs::read(MACHINE).unwrap_or_default();
        let identity = NamespaceIdentity::with_socket(host, socket)?;
        // The first namespace of a machine has the same cookie whenever that starts; before Linux 5.14 there is none.
        seed.extend(identity.cookie.unwrap_or_default().to_be_bytes());
        seed.extend(file.as_os_str().as_encoded_bytes());
        Ok(Self(seed))
    }

    /// The address of an interface.
    pub(super) fn of(&self, link: &LinkName) -> MacAddress {
        let mut bytes = self.0.clone();
        // No path, and no name of an interface, has a zero in it.
        bytes.push(0);
        bytes.extend(link.to_string().into_bytes());
        MacAddress::local(mixed(fnv1a(&bytes)))
    }
}

/// Spreads what differs in the last bytes over all bits, of which an address takes 40: the finalizer of `MurmurHash3`,
/// <https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp>.
const fn mixed(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::MacSource;
    use crate::topology::{LinkName, Place};
    use netns_core::IfName;
    use std::collections::BTreeSet;

    #[test]
    fn every_interface_of_every_file_has_another_address() {
        let mut all = BTreeSet::new();
        for seed in ["/a.toml", "/b.toml"] {
            let source = MacSource(seed.as_bytes().to_vec());
            for number in 0..1000 {
                let place = Place::Namespace(format!("ns{number}"));
                let link = LinkName { place, name: IfName::new("eth0").unwrap() };
                assert_eq!(source.of(&link), source.of(&link));
                all.insert(source.of(&link));
            }
        }
        assert_eq!(all.len(), 2000);
        assert!(all.iter().all(|mac| mac.0[0] == 2));
    }
}
