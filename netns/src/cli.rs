//! The arguments. Names, flags and exit codes are those of `ip`, `bridge` and `ping` where they have them.

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

/// The flag that [`Cli::verbose`] has.
pub(crate) const VERBOSE: &str = "verbose";

/// Linux network namespaces, fast, and what flows between them.
#[derive(Debug, Parser)]
#[command(name = NETNS, version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 fine, 1 wrong usage or input, 2 the kernel refused.")]
pub(crate) struct Cli {
    /// Say more: each change of `up` and `down` as it is made, and what the kernel's verifier wrote about an eBPF program
    /// that it refused.
    #[arg(id = VERBOSE, short, long, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// All of it, with the objects of `ip` and `bridge`, which are understood elsewhere.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command().mut_subcommand("down", |down| down.after_help(DOWN_EXIT_CODES));
    command.subcommands(help::commands())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build a bridged set of namespaces, prove that they reach each other and the host, show what passes.
    Run(Box<RunArguments>),
    /// Bring up the topology that a file describes, or change what differs from it.
    Up(UpArguments),
    /// Take down what was brought up of a topology file.
    Down(UpArguments),
    /// List the topologies that are up.
    Labs(LabsArguments),
    /// Print what the commands of a topology wrote.
    Logs(LogsArguments),
    /// Show what a topology file says, and whether it is up.
    Show(ShowArguments),
    /// Say what `up` would change.
    Diff(DiffArguments),
    /// See to it that the policies of a topology that is up are enforced: report what somebody takes away, and put it back.
    Watch(WatchLabArguments),
    /// Show what passes over a bridge that is there already: docker0, cni0, virbr0.
    Observe(ObserveArguments),
    /// Say what the words mean by which frames are counted that may not be sent.
    Reasons(ReasonsArguments),
    /// Remove what a run left that was kept or killed.
    Clean,
    /// Send ICMP echo requests, from inside a namespace or from here.
    Ping(PingArguments),
    /// Read and write settings of a namespace, as `sysctl` does.
    Sysctl(SysctlArguments),
    /// Measure what sandboxes cost, beside what others take; print a table and write a report with plots.
    Bench(BenchArguments),
    /// Write completions for a shell to stdout: `source <(netns completions bash)`.
    Completions(CompletionsArguments),
    /// Write man pages, one a command: `netns man DIR && man -l DIR/netns-up.1`.
    Man(ManArguments),
}

/// How the namespaces are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunShape {
    /// Every namespace on one bridge, which also has the host's address.
    Bridge,
    /// Two namespaces with a cable between them, and no host.
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
    /// An IPv6 network, to have both.
    #[arg(long)]
    pub(crate) subnet6: Option<IpNet>,
    /// The host's address on the bridge [default: the last of the subnet].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host_address: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) watch: WatchArguments,
    /// Count, report and pass frames that a namespace may not send: the default.
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) observe: bool,
    /// Count, report and drop them.
    #[arg(long)]
    pub(crate) enforce: bool,
    /// Send one frame of each kind that no honest host sends, from the first namespace to the second, and see what
    /// becomes of it.
    #[arg(long)]
    pub(crate) attack: bool,
    /// Leave everything in place in the end; `netns clean` removes it.
    #[arg(long, conflicts_with = "isolated")]
    pub(crate) keep: bool,
    /// Let the namespaces out under the host's addresses, by rules of nftables that go with them.
    #[arg(long, conflicts_with = "isolated")]
    pub(crate) masquerade: bool,
    /// Let others in: `8080:ns1:80` is port 80 of ns1 at port 8080 of the host; ADDRESS:PORT-PORT:NS:PORT/udp is a range
    /// of UDP at one address. May be given several times.
    #[arg(long, value_name = "PORTS", conflicts_with = "isolated")]
    pub(crate) publish: Vec<PublishedPorts>,
    /// Have a proxy of the host answer what the namespaces send to a port, of whatever address: `443:8443` has what is for
    /// port 443 go to port 8443 of the host. May be given several times.
    #[arg(long, value_name = "PORT:PORT", conflicts_with = "isolated")]
    pub(crate) redirect: Vec<Redirect>,
    /// Have this resolver answer the namespaces' questions for names, whomever they ask. One of each family.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "isolated")]
    pub(crate) resolver: Vec<IpAddr>,
    /// Where the namespaces may send to: an egress policy, with the keys of a topology's `[egress.NAME]`. What it refuses is
    /// counted, and dropped with --enforce.
    #[arg(long, value_name = "FILE")]
    pub(crate) egress: Option<PathBuf>,
    /// How much may pass between each namespace and the bridge, in tc's words: 100mbit both ways, or
    /// in=1gbit,out=100mbit,out=10kpps,burst=1mb,quota=10gb. What is over it is dropped and counted.
    #[arg(long, value_name = "LIMITS")]
    pub(crate) limit: Option<Limits>,
    /// Do all of it inside a private host namespace; the machine's own network is not touched.
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
    /// The namespace that the bridge is in: its name, the number of a process in it, or a path [default: this one].
    #[arg(short = 'n', long, value_name = "NAME|PID|PATH")]
    pub(crate) netns: Option<String>,
    #[command(flatten)]
    pub(crate) watch: WatchArguments,
    /// What ports may send, from a TOML file [default: what the bridge and the host have learnt of them].
    #[arg(long, value_name = "FILE", conflicts_with = "cleanup")]
    pub(crate) policy: Option<PathBuf>,
    /// Drop what the ports of the file may not send, whatever mode it gives them.
    #[arg(long, requires = "policy")]
    pub(crate) enforce: bool,
    /// What becomes of ports for which the file has no policy [default: refuse with --enforce, else pass].
    #[arg(long, value_enum, requires = "policy")]
    pub(crate) unmatched: Option<Unmatched>,
    /// Remove what was left by an `observe` that was killed, and nothing else.
    #[arg(long)]
    pub(crate) cleanup: bool,
}

/// What becomes of ports for which a file has no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unmatched {
    /// It is an error, and so is an entry of the file that no port matches; a port that comes later is closed.
    Refuse,
    /// They are closed: what they send is dropped.
    Close,
    /// They are reported, and what they send passes unjudged.
    Pass,
}

#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Exit codes: 0 every request was answered, 1 not every one was or wrong usage, 2 the kernel refused."
)]
pub(crate) struct PingArguments {
    /// The named namespace to ping from [default: this one].
    pub(crate) netns: Option<String>,
    /// Whom.
    #[arg(required = true)]
    pub(crate) address: Option<IpAddr>,
    /// How many requests.
    #[arg(short, long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// Seconds between them.
    #[arg(short, long, default_value = "1", value_parser = seconds)]
    pub(crate) interval: Duration,
    /// Seconds to wait for each answer.
    #[arg(short = 'W', long, default_value = "1", value_parser = interval)]
    pub(crate) timeout: Duration,
    /// One JSON object.
    #[arg(short, long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "All of it happens in network namespaces of its own. Peers that are not installed are left out."
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
    /// Where to write the report, an HTML file, and beside it the table as Markdown [default: target/bench.html].
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}
