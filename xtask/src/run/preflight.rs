//! What a run needs of the machine, asked before anything is made.

use crate::failure::Failure;
use netns_core::bridge::{self, Bridge};
use netns_core::tc::{self, Direction, Filter};
use netns_core::veth::{self, Veth};
use netns_core::{IfName, MacAddress, Namespace, RouteSocket, missing_capabilities};
use netns_ebpf::Monitor;

/// Whether this process may do what a run does.
pub(crate) fn check_privilege() -> Result<(), Failure> {
    let missing = missing_capabilities()?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "this takes {}; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask run",
        missing.join(", ")
    )))
}

/// Whether the kernel has what a run needs, by trying it in a namespace that is thrown away.
pub(crate) fn check_kernel(monitor: &Monitor) -> Result<(), Failure> {
    let missing = |what: &'static str| {
        move |error: netns_core::Error| Failure::usage(format!("this kernel has no {what}: {error}"))
    };
    let namespace = Namespace::anonymous().map_err(missing("network namespaces (CONFIG_NET_NS)"))?;
    let mut socket = RouteSocket::open_in(&namespace)?;
    let bridge = Bridge { index: Some(2), ..Bridge::new(IfName::new("probe")?, MacAddress::local(0)) };
    bridge::create(&mut socket, &bridge).map_err(missing("bridges (CONFIG_BRIDGE)"))?;
    let pair = Veth {
        index: Some(3),
        peer_index: Some(4),
        bridge: Some(2),
        ..Veth::new(IfName::new("a")?, IfName::new("b")?)
    };
    veth::create(&mut socket, &pair).map_err(missing("veth pairs (CONFIG_VETH)"))?;
    tc::add_clsact(&mut socket, 3).map_err(missing("clsact qdisc (CONFIG_NET_SCH_INGRESS)"))?;
    let filter = Filter {
        index: 3,
        direction: Direction::Ingress,
        priority: 1,
        handle: 1,
        program: monitor.ingress_program(),
        name: "probe",
        class_id: 0,
    };
    tc::add_filter(&mut socket, &filter)
        .map_err(missing("bpf classifier (CONFIG_NET_CLS_BPF, CONFIG_NET_CLS_ACT)"))
}
