use super::*;
use crate::cli::{Cli, Command};
use clap::Parser;

fn plan(arguments: &[&str]) -> Result<RunPlan, Failure> {
    let all = ["netns", "run"].iter().chain(arguments);
    let Command::Run(arguments) = Cli::try_parse_from(all).expect("arguments").command else {
        panic!("not `run`");
    };
    RunPlan::new(&arguments)
}

fn refusal(arguments: &[&str]) -> String {
    plan(arguments).expect_err("refused").to_string()
}

#[test]
fn the_first_addresses_go_to_the_namespaces_and_the_last_to_the_host() {
    let plan = plan(&["--namespaces", "3", "--subnet6", "fd00:1::/64"]).unwrap();
    let addresses: Vec<String> =
        plan.members.iter().map(|member| format!("{:?}", member.addresses)).collect();
    assert_eq!(addresses, ["[10.1.1.1, fd00:1::1]", "[10.1.1.2, fd00:1::2]", "[10.1.1.3, fd00:1::3]"]);
    let hosts: Vec<String> = plan.subnets.iter().map(|subnet| subnet.host.to_string()).collect();
    assert_eq!(hosts, ["10.1.1.254", "fd00:1::ffff:ffff:ffff:ffff"]);
}

#[test]
fn a_subnet_must_have_room_for_all() {
    assert!(plan(&["--namespaces", "5", "--subnet", "10.9.0.0/29"]).is_ok());
    assert_eq!(
        refusal(&["--namespaces", "6", "--subnet", "10.9.0.0/29"]),
        "--subnet 10.9.0.0/29: its 6 addresses are too few for 6 namespaces and the host"
    );
}

#[test]
fn two_namespaces_on_a_cable_need_two_addresses() {
    for (subnet, subnet6, expected) in [
        ("10.9.0.0/30", "fd00::/126", ["[10.9.0.1, fd00::1]", "[10.9.0.2, fd00::2]"]),
        ("10.9.0.4/31", "fd00::4/127", ["[10.9.0.4, fd00::4]", "[10.9.0.5, fd00::5]"]),
    ] {
        let plan = plan(&["--topology", "pair", "--subnet", subnet, "--subnet6", subnet6]).unwrap();
        let addresses: Vec<String> =
            plan.members.iter().map(|member| format!("{:?}", member.addresses)).collect();
        assert_eq!(addresses, expected);
    }
    assert_eq!(
        refusal(&["--topology", "pair", "--subnet", "10.9.0.0/32"]),
        "--subnet 10.9.0.0/32: its 0 addresses are too few for 2 namespaces"
    );
    // One namespace and the host.
    assert!(plan(&["--namespaces", "1", "--subnet", "10.9.0.0/31"]).is_ok());
    assert!(refusal(&["--subnet", "10.9.0.0/31"]).ends_with("too few for 2 namespaces and the host"));
}

#[test]
fn a_subnet_must_be_one_of_hosts() {
    for (subnet, what) in [
        ("224.1.0.0/24", "multicast addresses"),
        ("127.5.0.0/24", "loopback addresses"),
        ("0.0.0.0/0", "of this network (RFC 791)"),
    ] {
        let expected = format!("--subnet {subnet}: its addresses are {what}, which no host can have");
        assert_eq!(refusal(&["--subnet", subnet]), expected);
    }
    for (subnet, what) in [("fe80::/64", "link-local addresses"), ("ff02::/64", "multicast addresses")] {
        let expected = format!("--subnet6 {subnet}: its addresses are {what}, which no host can have");
        assert_eq!(refusal(&["--subnet6", subnet]), expected);
    }
}

#[test]
fn a_subnet_must_be_one() {
    assert_eq!(
        refusal(&["--subnet", "10.1.1.7/24"]),
        "--subnet 10.1.1.7/24: this is an address in a network; did you mean 10.1.1.0/24?"
    );
    assert_eq!(refusal(&["--subnet", "fd00::/64"]), "--subnet fd00::/64: this is not an IPv4 network");
}

#[test]
fn the_host_address_must_be_free_and_in_the_subnet() {
    for (address, why) in [
        ("10.1.1.2", "it is one of the namespaces'"),
        ("10.1.2.1", "it is not a host address in it"),
        ("10.1.1.0", "it is not a host address in it"),
        ("10.1.1.255", "it is not a host address in it"),
    ] {
        let message = refusal(&["--host-address", address]);
        assert!(message.ends_with(why), "{message}");
    }
    assert!(plan(&["--host-address", "10.1.1.3"]).is_ok());
}

#[test]
fn a_cable_has_two_ends_and_a_bridge_1023_ports() {
    assert!(refusal(&["--topology", "pair", "--namespaces", "3"]).contains("two namespaces"));
    assert!(refusal(&["--namespaces", "1024", "--subnet", "10.0.0.0/8"]).contains("1 to 1023 ports"));
    assert!(refusal(&["--namespaces", "0"]).contains("1 to 1023 ports"));
}
