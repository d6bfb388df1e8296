//! The arguments. Names, flags and exit codes follow `ip`, `bridge` and `ping` where those have them.

use crate::examples::with_examples;
use crate::manual::{CompletionsArguments, ManArguments};
use crate::name::NETNS;
use crate::net::help;
use crate::reasons::ReasonsArguments;
use crate::sysctl::SysctlArguments;
use crate::topology::cli::{
    DOWN_EXIT_CODES, DiffArguments, LabsArguments, LogsArguments, ShowArguments, UpArguments,
    WatchLabArguments,
};
use crate::watch::arguments::{WatchArguments, interval, seconds};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use netns_core::nat::Redirect;
use netns_core::{IfName, IpNet};
use netns_ebpf::Limits;
use netns_topology::PublishedPorts;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The flag of [`Cli::verbose`].
pub(crate) const VERBOSE: &str = "verbose";

/// Linux network namespaces, fast, and what flows between them.
#[derive(Debug, Parser)]
#[command(name = NETNS, version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 fine, 1 wrong usage or input, 2 the kernel refused.")]
pub(crate) struct Cli {
    /// Print more: each change of `up` and `down` as it is made, and the kernel verifier's log of an eBPF program that it
    /// refused.
    #[arg(id = VERBOSE, short, long, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// All commands, with the objects of `ip` and `bridge`, which are parsed elsewhere.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command().mut_subcommand("down", |down| down.after_help(DOWN_EXIT_CODES));
    with_examples(command.subcommands(help::commands()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build namespaces on a bridge, prove that they reach each other and the host, show what passes.
    ///
    /// What passes is its own: datagrams around the ring of namespaces and a TCP stream from the first to the second, so that
    /// there is something to count.
    Run(Box<RunArguments>),
    /// Bring up the topology in a file, or change what differs from it.
    Up(UpArguments),
    /// Take down what was brought up from a topology file.
    Down(UpArguments),
    /// List the topologies that are up.
    Labs(LabsArguments),
    /// Print the output of a topology's commands.
    Logs(LogsArguments),
    /// Show what a topology file says, and whether it is up.
    Show(ShowArguments),
    /// List what `up` would change.
    Diff(DiffArguments),
    /// Keep the policies of a topology enforced: report what somebody removes, and put it back.
    Watch(WatchLabArguments),
    /// Show what passes over a bridge that is there already: docker0, cni0, virbr0.
    Observe(ObserveArguments),
    /// Explain the reasons by which violations are counted.
    Reasons(ReasonsArguments),
    /// Remove what a kept or killed run left.
    Clean,
    /// Send ICMP echo requests, from inside a namespace or from here.
    Ping(PingArguments),
    /// Read and write settings of a namespace, as `sysctl` does.
    Sysctl(SysctlArguments),
    /// Measure what sandboxes cost, beside other tools; print a table and write a report with plots.
    Bench(BenchArguments),
    /// Write completions for a shell to stdout: `source <(netns completions bash)`.
    Completions(CompletionsArguments),
    /// Write a man page for each command: `netns man DIR && man -l DIR/netns-up.1`.
    Man(ManArguments),
}

/// How the namespaces are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunShape {
    /// All namespaces on one bridge, on which the host has an address.
    Bridge,
    /// Two namespaces with a cable between them, without the host.
    Pair,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// How many namespaces: ns1 to nsN.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) namespaces: usize,
    /// The bridge's name.
    #[arg(long, default_value = "br0")]
    pub(crate) bridge: IfName,
    /// The IPv4 network; the namespaces get its first addresses.
    #[arg(long, default_value = "10.1.1.0/24")]
    pub(crate) subnet: IpNet,
    /// An IPv6 network as well.
    #[arg(long)]
    pub(crate) subnet6: Option<IpNet>,
    /// The host's address on the bridge [default: the last of the subnet].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host_address: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) watch: WatchArguments,
    /// Count and report violations, and let the frames pass: the default.
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) observe: bool,
    /// Count and report violations, and drop the frames.
    #[arg(long)]
    pub(crate) enforce: bool,
    /// Send one frame of each kind that no honest host sends from the first namespace to the second, and show whether it
    /// arrives.
    #[arg(long)]
    pub(crate) attack: bool,
    /// Leave everything in place at the end; `netns clean` removes it.
    #[arg(long, conflicts_with = "isolated")]
    pub(crate) keep: bool,
    /// Let the namespaces out under the host's addresses, by nftables rules that are removed with them.
    #[arg(long, conflicts_with = "isolated")]
    pub(crate) masquerade: bool,
    /// Let others in: `8080:ns1:80` publishes port 80 of ns1 at port 8080 of the host; ADDRESS:PORT-PORT:NS:PORT/udp a range
    /// of UDP ports at one address. May be given several times.
    #[arg(long, value_name = "PORTS", conflicts_with = "isolated")]
    pub(crate) publish: Vec<PublishedPorts>,
    /// Redirect what the namespaces send to a port of any address to a proxy on the host: `443:8443` redirects port 443 to
    /// port 8443 of the host. May be given several times.
    #[arg(long, value_name = "PORT:PORT", conflicts_with = "isolated")]
    pub(crate) redirect: Vec<Redirect>,
    /// Have this resolver answer the namespaces' DNS queries, whichever server they ask. One per family.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "isolated")]
    pub(crate) resolver: Vec<IpAddr>,
    /// An egress policy, with the keys of a topology's `[egress.NAME]`: where the namespaces may send to. What it refuses is
    /// counted, and dropped with --enforce.
    #[arg(long, value_name = "FILE")]
    pub(crate) egress: Option<PathBuf>,
    /// How much may pass between each namespace and the bridge, in tc's words: 100mbit both ways, or
    /// in=1gbit,out=100mbit,out=10kpps,burst=1mb,quota=10gb. What exceeds it is dropped and counted.
    #[arg(long, value_name = "LIMITS")]
    pub(crate) limit: Option<Limits>,
    /// Do everything inside a private host namespace; the machine's own network is not touched.
    #[arg(long)]
    pub(crate) isolated: bool,
    /// How the namespaces are joined.
    #[arg(long, value_enum, default_value_t = RunShape::Bridge)]
    pub(crate) topology: RunShape,
}

#[derive(Debug, Args)]
#[command(
    after_help = "While it runs, each port of the bridge carries two filters, in a clsact qdisc that is made \
where there is none. When it ends they are gone. After SIGKILL they stay: harmless, but --cleanup removes them, and so \
does observing the bridge again. \
What a killed one enforced is enforced until then: an attacker who can end the observer must not win by it.

A namespace of the file is that of this name at the other end of a port. Root inside can move the interface: a port \
whose interface was moved matches no [namespace.NAME] any more, and of two ports with the same namespace behind them \
only the first does. [port.NAME] goes by the port, which nobody inside can change.

If the kernel refuses the eBPF program, nothing is put onto any port, and the kernel's own statistics of the ports are \
shown; --policy, --enforce and --pcap take the program."
)]
pub(crate) struct ObserveArguments {
    /// The bridge, by its name or an alternative name.
    #[arg(required_unless_present = "cleanup")]
    pub(crate) bridge: Option<String>,
    /// The namespace that the bridge is in: its name, the pid of a process in it, or a path [default: this one].
    #[arg(short = 'n', long, value_name = "NAME|PID|PATH")]
    pub(crate) netns: Option<String>,
    #[command(flatten)]
    pub(crate) watch: WatchArguments,
    /// A TOML file that says what ports may send [default: what the bridge and the host have learnt of them].
    #[arg(long, value_name = "FILE", conflicts_with = "cleanup")]
    pub(crate) policy: Option<PathBuf>,
    /// Enforce the file's policies, whatever mode it gives them.
    #[arg(long, requires = "policy")]
    pub(crate) enforce: bool,
    /// What happens to ports for which the file has no policy [default: refuse with --enforce, else pass].
    #[arg(long, value_enum, requires = "policy")]
    pub(crate) unmatched: Option<Unmatched>,
    /// Remove what a killed `observe` left, and nothing else.
    #[arg(long)]
    pub(crate) cleanup: bool,
}

/// What happens to ports for which a file has no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unmatched {
    /// An error, and so is an entry of the file that matches no port; a port that comes later is closed.
    Refuse,
    /// Such ports are closed: what they send is dropped.
    Close,
    /// Such ports are reported, and what they send passes unjudged.
    Pass,
}

#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Exit codes: 0 every request was answered, 1 not every one was or wrong usage, 2 the kernel refused."
)]
pub(crate) struct PingArguments {
    /// The named namespace to ping from [default: this one].
    #[arg(value_name = "NETNS", conflicts_with = "netns")]
    pub(crate) from: Option<String>,
    /// The same, as `ip` takes it.
    #[arg(short = 'n', long, value_name = "NS")]
    pub(crate) netns: Option<String>,
    /// The address to ping.
    #[arg(required = true)]
    pub(crate) address: Option<IpAddr>,
    /// How many requests to send.
    #[arg(short, long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// Seconds between them.
    #[arg(short, long, default_value = "1", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) interval: Duration,
    /// Seconds to wait for each answer.
    #[arg(short = 'W', long, default_value = "1", value_parser = interval, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// One JSON object.
    #[arg(short, long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "It works in network namespaces of its own. Peers that are not installed are left out."
)]
pub(crate) struct BenchArguments {
    /// Measure less: under a minute without peers.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure the peers as well: ip, rtnetlink, CNI, netavark.
    #[arg(long)]
    pub(crate) peers: bool,
    /// One JSON object on stdout instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to write the HTML report; the table goes beside it as Markdown [default: target/bench.html].
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}
