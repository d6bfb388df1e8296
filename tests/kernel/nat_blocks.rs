//! Other programs' chains that drop what the host forwards: found, named with the command that helps, and opened where
//! that is asked for.

use super::nat::{
    HOST_V4, PROVIDER_V4, PROVIDER_V6, at, exchange, is_dropped, listen, needs_nat, options, provider,
    settings, tcp, to_v4,
};
use super::nftables::{OwnedTable, nft};
use netns_core::Namespace;
use netns_core::nat::{self, ForwardBlock};
use netns_core::network::{Network, NetworkOptions, RecordedNetwork};
use std::{env, fs, thread};
use tests::{eventually, in_host, ip, needs_kernel, oracle, refused, run, signal, skip};

/// Docker's rules, as it makes them with iptables-nft.
const DOCKER: [&str; 4] = [
    "iptables-nft -N DOCKER-USER",
    "iptables-nft -A FORWARD -j DOCKER-USER",
    "iptables-nft -P FORWARD DROP",
    "ip6tables-nft -P FORWARD DROP",
];

fn command(line: &str) {
    let mut words = line.split(' ');
    let _ = run(oracle(words.next().unwrap()).args(words));
}

/// The ruleset without its counters.
fn ruleset() -> String {
    run(oracle("nft").args(["-s", "list", "ruleset"]))
}

fn commands(blocks: &[ForwardBlock]) -> Vec<String> {
    blocks.iter().flat_map(|block| block.commands.clone()).collect()
}

#[test]
fn dockers_policy_is_named_and_opened_where_that_is_asked_for() {
    in_host(|_| {
        needs_nat();
        let provider = provider();
        for line in DOCKER {
            command(line);
        }
        let theirs = ruleset();
        let server = listen(&provider, 80);

        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        for to in [at(PROVIDER_V4, 80), at(PROVIDER_V6, 80)] {
            assert!(is_dropped(sandbox.namespace().unwrap(), to));
        }
        let blocks = network.forward_blocks().unwrap();
        assert!(blocks.iter().all(ForwardBlock::can_be_opened));
        assert_eq!(
            commands(&blocks),
            [
                "iptables-nft -I DOCKER-USER -i sb -j ACCEPT",
                "iptables-nft -I DOCKER-USER -o sb -j ACCEPT",
                "ip6tables-nft -I FORWARD -i sb -j ACCEPT",
                "ip6tables-nft -I FORWARD -o sb -j ACCEPT",
            ]
        );
        assert!(
            blocks[0]
                .to_string()
                .starts_with("chain FORWARD of the table ip filter drops what is forwarded;")
        );
        drop((sandbox, network));
        assert_eq!(ruleset(), theirs);

        let network = Network::create(&NetworkOptions { open_forward_chains: true, ..options() }).unwrap();
        let (one, two) = (network.create_sandbox().unwrap(), network.create_sandbox().unwrap());
        assert!(network.forward_blocks().unwrap().is_empty());
        let inside = one.namespace().unwrap();
        for to in [at(PROVIDER_V4, 80), at(PROVIDER_V6, 80)] {
            let _ = exchange(inside, to, &server);
        }
        let inward = listen(inside, 80);
        network.publish(&one, &tcp(8080, to_v4(&one, 80))).unwrap();
        let _ = exchange(&provider, at(HOST_V4, 8080), &inward);
        // With br_netfilter, their chains also judge what passes over the bridge.
        let _ = exchange(two.namespace().unwrap(), to_v4(&one, 80), &inward);

        // It is iptables' own kind of rule, so iptables still works, and its changes are noticed.
        let shown = run(oracle("iptables-nft").args(["-S", "DOCKER-USER"]));
        assert_eq!(
            shown.lines().filter(|line| line.contains(" sb ") && line.contains("ACCEPT")).count(),
            2,
            "{shown}"
        );
        assert!(!network.restore_way_out().unwrap());
        command("iptables-nft -F DOCKER-USER");
        assert!(network.restore_way_out().unwrap());
        assert!(network.forward_blocks().unwrap().is_empty());
        drop((one, two, network));
        assert_eq!(ruleset(), theirs);
    });
}

#[test]
fn a_policy_that_no_dump_of_nftables_shows_is_named() {
    in_host(|_| {
        needs_nat();
        let provider = provider();
        let server = listen(&provider, 80);
        let network = Network::create(&NetworkOptions { open_forward_chains: true, ..options() }).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let inside = sandbox.namespace().unwrap();
        assert!(network.forward_blocks().unwrap().is_empty());
        let legacy =
            |tool: &str| oracle(tool).args(["-P", "FORWARD", "DROP"]).output().unwrap().status.success();
        if !(legacy("iptables-legacy") && legacy("ip6tables-legacy")) {
            skip("the kernel has no tables of iptables-legacy");
        }
        let blocks = network.forward_blocks().unwrap();
        assert!(blocks.len() == 2 && !blocks.iter().any(ForwardBlock::can_be_opened), "{blocks:?}");
        for to in [at(PROVIDER_V4, 80), at(PROVIDER_V6, 80)] {
            assert!(is_dropped(inside, to));
        }
        // The suggested commands help.
        for line in commands(&blocks) {
            command(&line);
        }
        for to in [at(PROVIDER_V4, 80), at(PROVIDER_V6, 80)] {
            let _ = exchange(inside, to, &server);
        }
        command("iptables-legacy -N DOCKER-USER");
        let now = network.forward_blocks().unwrap();
        assert_eq!(now[0].commands[0], "iptables-legacy -I DOCKER-USER -i sb -j ACCEPT");
        command("iptables-legacy -P FORWARD ACCEPT");
        assert_eq!(network.forward_blocks().unwrap().len(), 1);
    });
}

#[test]
fn rules_of_iptables_legacy_may_change_while_they_are_read() {
    in_host(|_| {
        if !oracle("iptables-legacy").args(["-P", "FORWARD", "DROP"]).output().unwrap().status.success() {
            skip("the kernel has no tables of iptables-legacy");
        }
        // How many there are, and then all of them: not as many as there were.
        let drops = refused("getsockopt", 2, "EAGAIN", || nat::legacy_drops_forwarded(true));
        assert!(drops.unwrap());
    });
}

#[test]
fn nothing_is_left_of_a_way_out_that_others_do_not_open() {
    in_host(|host| {
        needs_nat();
        needs_kernel((5, 12), "tables that have an owner");
        let _provider = provider();
        let _owner = OwnedTable::make(
            "inet own",
            "add chain inet own through { type filter hook forward priority 5; policy drop; }",
        );
        let before = (ruleset(), settings(host));
        let error = Network::create(&NetworkOptions { open_forward_chains: true, ..options() }).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EPERM), "{error}");
        assert_eq!((ruleset(), settings(host)), before);
        assert!(!std::fs::exists(RecordedNetwork::FOLDER).unwrap());
        assert!(!ip("-o link show").contains(": sb"));
    });
}

/// Between the look for them and their removal; `strace` stops the process there.
#[test]
fn rules_of_ours_go_although_somebody_takes_one_away_meanwhile() {
    const TABLE: &str = "TESTS_REMOVE_TABLE";
    let test = "nat_blocks::rules_of_ours_go_although_somebody_takes_one_away_meanwhile";
    if let Ok(table) = env::var(TABLE) {
        // In a thread of its own, so that its requests are counted: the table, and then the look.
        let removed = thread::spawn(move || nat::remove(&Namespace::current().unwrap(), &table));
        assert!(removed.join().unwrap().unwrap());
        return;
    }
    in_host(|_| {
        needs_nat();
        let _provider = provider();
        let mut stops = 0;
        // After each answer in turn: after one of them it has seen its rules, and not taken them away yet.
        for when in 1.. {
            nft(
                "add table ip own; add chain ip own through { type filter hook forward priority 5; policy drop; }",
            );
            let network =
                Network::create(&NetworkOptions { open_forward_chains: true, ..options() }).unwrap();
            let table = nft("list tables inet").trim().replace("table inet ", "");
            let mut strace = oracle("strace");
            strace.args(["-f", "-o", "/run/trace", "-e", "trace=recvmsg", "-e"]);
            strace.arg(format!("inject=recvmsg:signal=SIGSTOP:when={when}"));
            strace.arg(env::current_exe().unwrap()).args(["--exact", test]).env(TABLE, table);
            let mut strace = strace.spawn().unwrap();
            let mut stopped = None;
            eventually("it is stopped, or has ended", || {
                let trace = fs::read_to_string("/run/trace").unwrap_or_default();
                let line = trace.lines().find(|line| line.contains("stopped by SIGSTOP"));
                stopped = line.and_then(|line| line.split(' ').next()).map(str::to_owned);
                stopped.is_some() || strace.try_wait().unwrap().is_some()
            });
            if let Some(process) = &stopped {
                let shown = run(oracle("nft").args(["-a", "list", "chain", "ip", "own", "through"]));
                if let Some(rule) = shown.lines().find(|line| line.contains("iifname")) {
                    let handle = rule.rsplit(' ').next().unwrap();
                    nft(&format!("delete rule ip own through handle {handle}"));
                }
                signal("CONT", process);
            }
            assert!(strace.wait().unwrap().success());
            let left = nft("list chain ip own through");
            assert!(!left.contains("\"sb\""), "{left}");
            drop(network);
            nft("delete table ip own");
            fs::remove_file("/run/trace").unwrap();
            if stopped.is_none() {
                break;
            }
            stops += 1;
        }
        assert!(stops > 3, "{stops}");
    });
}

#[test]
fn firewalld_is_named_by_its_own_command_and_others_by_nfts() {
    in_host(|_| {
        needs_nat();
        let _provider = provider();
        nft(
            "add table inet firewalld; add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; }",
        );
        nft(
            "add table inet own; add chain inet own through { type filter hook forward priority 5; policy drop; }",
        );
        let network = Network::create(&options()).unwrap();
        let mut named = commands(&network.forward_blocks().unwrap());
        named.sort();
        assert_eq!(
            named,
            [
                "firewall-cmd --zone=trusted --add-interface=sb",
                "nft insert rule inet own through iifname sb accept",
                "nft insert rule inet own through oifname sb accept",
            ]
        );
        nft(&named[1][4..]);
    });
}
