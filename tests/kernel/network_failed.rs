//! What a network that fails leaves, and what it has found out by then.

use super::network::{Pass, pass};
use super::nftables::{OwnedTable, needs_nftables, nft};
use crate::{name, net};
use netns_core::barrier::Unjudged;
use netns_core::network::{Network, NetworkOptions, PortInfo, PortProgram, RecordedNetwork};
use netns_core::ping::{Ping, ping};
use netns_core::{ErrorKind, Result};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::{Arc, Mutex};
use std::{env, fs};
use tests::{Verdict, in_host, load_program, needs_kernel, oracle, run};

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

/// A program that marks frames, as it says, and is given what was not marked.
struct Counting(Arc<Pass>, Mutex<Vec<Unjudged>>);

impl PortProgram for Counting {
    fn ingress(&self) -> BorrowedFd<'_> {
        self.0.ingress()
    }

    fn egress(&self) -> BorrowedFd<'_> {
        self.0.egress()
    }

    fn assign(&self, port: &PortInfo) -> Result<u16> {
        self.0.assign(port)
    }

    fn release(&self, slot: u16) {
        self.0.release(slot);
    }

    fn stamp(&self) -> Option<u32> {
        Some(0x40)
    }

    fn unjudged(&self, found: &[Unjudged]) {
        self.1.lock().unwrap().extend(found);
    }
}

/// One bridge's barrier cannot be made again; what another's has counted is reported all the same.
#[test]
fn what_one_barrier_counted_is_not_lost_by_anothers_failure() {
    in_host(|_| {
        needs_nftables();
        needs_kernel((5, 12), "tables that have an owner");
        let program = Arc::new(Counting(pass(load_program(Verdict::Pass).unwrap()), Mutex::default()));
        let network = Network::create(&NetworkOptions {
            program: Some(program.clone()),
            per_bridge: 1,
            permanent_neighbours: true,
            ..options()
        })
        .unwrap();
        let [one, two] = [(); 2].map(|()| network.create_sandbox().unwrap());
        let host = Ping::new(network.addresses().next().unwrap().address());
        assert!(!ping(one.namespace().unwrap(), &host).unwrap().all_received(), "it has no mark");
        let further = two.port_namespace().unwrap();
        let _owner = further.enter(|| {
            let table = nft("list tables bridge").trim().replace("table ", "");
            let _ = nft(&format!("delete table {table}"));
            OwnedTable::make(&table, "")
        });
        let error = network.take_unjudged().unwrap_err();
        assert_eq!(error.errno(), Some(libc::EPERM), "{error}");
        let found = program.1.lock().unwrap();
        assert!(matches!(found[..], [one_port] if one_port.port == one.port().index), "{found:?}");
    });
}

#[test]
fn others_cannot_write_records_whatever_the_umask_is() {
    const INSIDE: &str = "TESTS_WITH_UMASK_0";
    let test = "network_failed::others_cannot_write_records_whatever_the_umask_is";
    if env::var_os(INSIDE).is_none() {
        return in_host(|_| {
            let mut shell = oracle("busybox");
            shell.args(["sh", "-c", "umask 0; exec \"$@\"", "sh"]).arg(env::current_exe().unwrap());
            let _ = run(shell.args(["--exact", test, "--nocapture"]).env(INSIDE, "1"));
        });
    }
    in_host(|host| {
        let network = Network::create(&options()).unwrap();
        assert!(network.is_recorded());
        assert_eq!(fs::metadata(FOLDER).unwrap().permissions().mode() & 0o7777, 0o755);
        drop(network);

        // Somebody was quicker.
        fs::create_dir(FOLDER).unwrap();
        chown(FOLDER, Some(1000), None).unwrap();
        let record = netns_core::network::RecordPlace::Folder(FOLDER.into());
        let error = Network::create(&NetworkOptions { record, ..options() }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(error.to_string().contains("belongs to user 1000"), "{error}");
        assert_eq!(fs::metadata(FOLDER).unwrap().uid(), 1000);
        host.assert_clean();
    });
}
