//! An engine that lets its sandboxes reach what has an allowed name, and nothing else.
//!
//! `egress-proxy RESOLVER NAME..` makes a network and a sandbox in it, `box`, whose questions for names come here, whomever it
//! asks. The addresses of allowed names may be reached for as long as the answer may be kept, by whatever protocol; what is for
//! port 443 goes through here, and has to name one of them (SNI): many names share an address. It ends with a line on its
//! standard input, or the end of it, and everything goes with it.

mod names;
mod tls;

use names::Names;
use netns_core::nat::Redirect;
use netns_core::network::{Network, NetworkOptions};
use netns_ebpf::{EgressRules, Mode, Monitor, MonitorOptions, NetworkGuard};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket};

/// The host's addresses in the network, where everything of ours listens.
const HOST: [&str; 2] = ["10.98.0.1", "fd98::1"];
const DNS: u16 = 5353;
const TLS: u16 = 8443;

/// Why something failed.
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let resolver: SocketAddr = arguments.next().ok_or("egress-proxy RESOLVER NAME..")?.parse()?;
    let allowed: Vec<String> = arguments.collect();

    // Nothing is reached but the DNS, which means us; lists refuse what no name may open.
    let options = MonitorOptions { egress: 1, barrier: true, ..MonitorOptions::default() };
    let monitor = Arc::new(Monitor::load(&options)?);
    let rules = EgressRules::new().refusing_others().with("allow any udp/53".parse()?);
    let policy = monitor.add_egress(&rules)?;
    let guard = NetworkGuard::new(monitor.clone(), Mode::Enforce).with_egress(policy);
    let network = Network::create(&NetworkOptions {
        subnet_v4: Some("10.98.0.0/24".parse()?),
        subnet_v6: Some("fd98::/64".parse()?),
        masquerade: true,
        isolated: true,
        redirects: vec![Redirect::udp(53, DNS), Redirect::tcp(443, TLS)],
        program: Some(Arc::new(guard)),
        ..NetworkOptions::new("boxes".parse()?)
    })?;
    let names = Arc::new(Names { resolver, allowed, monitor, policy });
    for host in HOST {
        let questions = UdpSocket::bind((host, DNS)).await?;
        let connections = TcpListener::bind((host, TLS)).await?;
        tokio::spawn(names::answer(questions, names.clone()));
        tokio::spawn(tls::serve(connections, names.clone()));
    }
    let sandbox = network.create_named_sandbox("box")?;
    println!("ready");

    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    drop((sandbox, network));
    Ok(())
}
