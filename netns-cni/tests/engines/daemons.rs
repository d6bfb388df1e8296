//! Routing daemons of a node, by whom another node learns where its pods are.

use std::fs::{self, File};
use std::process::{Child, Stdio};
use tests::{oracle, run};

/// A routing daemon that a node may have. Its files are in the node's own `/run`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Router {
    Bird,
    Frr,
}

impl Router {
    /// Skips the test where one of its programs is missing.
    pub(crate) fn look_for(self) {
        let programs: &[&str] = match self {
            Self::Bird => &["bird"],
            Self::Frr => &["zebra", "bgpd"],
        };
        for program in programs.iter().chain(&["setpriv"]) {
            let _ = oracle(program);
        }
    }

    /// What `ip` calls the origin of its routes.
    pub(crate) const fn protocol(self) -> &'static str {
        match self {
            Self::Bird => "bird",
            Self::Frr => "bgp",
        }
    }

    /// Starts it here, between these addresses.
    pub(crate) fn start(self, own: &str, other: &str) -> RoutingDaemons {
        match self {
            Self::Bird => bird(own, other),
            Self::Frr => frr(own, other),
        }
    }
}

/// They go when this is dropped, or their host.
#[derive(Debug)]
pub(crate) struct RoutingDaemons(Vec<Child>);

impl Drop for RoutingDaemons {
    fn drop(&mut self) {
        for daemon in &mut self.0 {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn spawn(program: &str, words: &str) -> Child {
    let mut command = oracle("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(oracle(program).get_program()).args(words.split(' '));
    let log = || File::create(format!("/run/{program}.log")).expect("a log");
    command.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().expect("it starts")
}

fn bird(own: &str, other: &str) -> RoutingDaemons {
    let config = format!(
        "log stderr all; router id {own};
         protocol device {{ scan time 1; }}
         protocol direct {{ ipv4; interface \"cni0\"; }}
         protocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; }}
         protocol bgp {{
           local {own} as 64512; neighbor {other} as 64512; direct; connect delay time 1; connect retry time 1;
           ipv4 {{ import all; export where source = RTS_DEVICE; next hop self; }};
         }}\n"
    );
    fs::write("/run/bird.conf", config).expect("a file");
    RoutingDaemons(vec![spawn("bird", "-f -c /run/bird.conf -s /run/bird.ctl")])
}

/// Each daemon reads of the file what it knows. Both become the user `frr`, who has to be able to write where their sockets are.
fn frr(own: &str, other: &str) -> RoutingDaemons {
    let config = format!(
        "router bgp 64512
 bgp router-id {own}
 neighbor {other} remote-as 64512
 neighbor {other} timers connect 1
 address-family ipv4 unicast
  redistribute connected route-map pods
 exit-address-family
!
route-map pods permit 10
 match interface cni0\n"
    );
    fs::write("/run/frr.conf", config).expect("a file");
    fs::create_dir("/run/frr").expect("a folder");
    let _ = run(oracle("chown").args(["frr:frr", "/run/frr"]));
    let words = |program: &str| {
        format!("-f /run/frr.conf -z /run/frr/zserv.api --vty_socket /run/frr -i /run/frr/{program}.pid -P 0")
    };
    RoutingDaemons(["zebra", "bgpd"].map(|program| spawn(program, &words(program))).into())
}
