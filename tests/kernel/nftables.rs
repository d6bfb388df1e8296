//! nftables by hand: `nft` shows what we make, and what others made stays as it is.

use netns_core::nftables::{
    Base, ByteOrder, Chain, Comparison, Family, Header, KeyType, MetaKey, NftSocket, Register, RuleNotices,
    RuleVerdict, Set, Table, Transaction, chain, element, rule, set, table,
};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::{env, fs};
use tests::{
    Host, annotate_nft, datagrams, eventually, in_host, needs_option, oracle, run, set_receive_buffer, skip,
};

/// Skips the test where the kernel has no nftables for bridges.
pub(super) fn needs_nftables() {
    needs_option("CONFIG_NF_TABLES_BRIDGE", "nftables for bridges", || {
        oracle("nft").args(["add table bridge probe; add chain bridge probe c { type filter hook input priority 0; }; delete table bridge probe"]).output().is_ok_and(|output| output.status.success())
    });
}

pub(super) fn nft(command: &str) -> String {
    run(oracle("nft").arg(command))
}

/// A table that only the process which made it may change, for as long as that lives.
pub(super) struct OwnedTable(Child);

impl OwnedTable {
    /// Makes one, `FAMILY NAME`, and carries out another command in the same step.
    pub(super) fn make(table: &str, command: &str) -> Self {
        let child = oracle("nft").arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let child = child.unwrap();
        writeln!(child.stdin.as_ref().unwrap(), "add table {table} {{ flags owner; }}; {command}").unwrap();
        eventually("the table is there", || nft("list ruleset").contains("flags owner"));
        Self(child)
    }
}

impl Drop for OwnedTable {
    fn drop(&mut self) {
        // It ends at the end of what it reads, and the table with it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn socket(host: &Host) -> NftSocket {
    NftSocket::open_in(host.namespace()).unwrap()
}

const BARRIER: &str = "
add table bridge netns-barrier-0123456789abcdef
add set bridge netns-barrier-0123456789abcdef ports { type iface_index; }
add set bridge netns-barrier-0123456789abcdef unjudged { type iface_index; size 65536; flags dynamic; }
add chain bridge netns-barrier-0123456789abcdef unjudged
add chain bridge netns-barrier-0123456789abcdef prerouting { type filter hook prerouting priority -2147483648; policy accept; }
add chain bridge netns-barrier-0123456789abcdef input { type filter hook input priority -2147483648; policy accept; }
add rule bridge netns-barrier-0123456789abcdef unjudged update @unjudged { iif counter }
add rule bridge netns-barrier-0123456789abcdef unjudged counter drop
add rule bridge netns-barrier-0123456789abcdef prerouting meta priority != 6e65:7430 iif @ports goto unjudged
add rule bridge netns-barrier-0123456789abcdef input ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 meta priority != 6e65:7430 iif @ports goto unjudged
";
const WINDOW: &str = "
add table bridge t
add chain bridge t c
add rule bridge t c iif >= 1024
add rule bridge t c iif <= 2048
";
const ELEMENTS: &str = "add element bridge t s { 7, 8 }";
const REMOVED: &str = "delete element bridge t s { 7 }";
const TABLE_GONE: &str = "delete table bridge t";

const NAT: &str = "
add table inet n
add set inet n c4 { type ipv4_addr; size 65535; flags dynamic; }
add map inet n m4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
add map inet n m6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
add map inet n v { type inet_service : verdict; }
add set inet n i { type ipv4_addr . inet_service; flags interval; }
add set inet n t { type ipv4_addr; flags interval,timeout; timeout 10s; }
add chain inet n pre { type nat hook prerouting priority -100; policy accept; }
add chain inet n post { type nat hook postrouting priority 100; policy accept; }
add chain inet n forward { type filter hook forward priority 0; policy accept; }
add chain inet n raw { type filter hook prerouting priority -300; policy accept; }
add chain inet n sub
add rule inet n pre fib daddr type local jump sub
add rule inet n pre dnat ip to ip daddr . meta l4proto . th dport map @m4
add rule inet n pre dnat ip6 to ip6 daddr . meta l4proto . th dport map @m6
add rule inet n pre meta l4proto tcp redirect to :8080
add rule inet n post oif != 1 masquerade
add rule inet n post masquerade fully-random
add rule inet n post snat ip to 192.0.2.1
add rule inet n forward ct state established,related accept
add rule inet n forward ct status dnat accept
add rule inet n forward meta l4proto tcp reject with tcp reset
add rule inet n forward reject with icmpx admin-prohibited
add rule inet n forward limit rate 10/second burst 5 packets return
add rule inet n forward limit rate over 1000 bytes/second burst 20 bytes drop
add rule inet n forward ct count over 7 drop
add rule inet n forward th dport vmap @v
add rule inet n raw meta l4proto udp notrack
add rule inet n raw meta l4proto tcp tproxy ip to 127.0.0.1:9000
insert rule inet n forward iifname \"br0\" counter accept comment \"ours\"
";
const NAT_ELEMENTS: &str = "
add element inet n m4 { 192.0.2.1 . tcp . 8080 comment \"me\" : 10.99.0.2 . 80 }
add element inet n v { 22 : drop }
add element inet n i { 10.0.0.0/8 . 80-90 }
add element inet n t { 10.0.0.0/8 timeout 5s }
";
const RULE_GONE: &str = "delete rule inet n pre handle 3";
const SET_GONE: &str = "delete set inet n c4";

/// A golden file and the script that produces it.
const CAPTURES: [(&str, &str); 9] = [
    ("barrier", BARRIER),
    ("window", WINDOW),
    ("elements", ELEMENTS),
    ("elements-removed", REMOVED),
    ("table-deleted", TABLE_GONE),
    ("nat", NAT),
    ("nat-elements", NAT_ELEMENTS),
    ("rule-deleted", RULE_GONE),
    ("set-deleted", SET_GONE),
];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../netns-core/src/nftables/tests/golden"))
}

/// The tables and sets of a script.
fn sets(script: &str) -> String {
    let is_set = |line: &&str| ["add table", "add set", "add map"].iter().any(|word| line.starts_with(word));
    script.lines().filter(is_set).collect::<Vec<_>>().join("\n")
}

fn capture(version: &str, script: &str) -> String {
    let mut text = String::new();
    in_host(|_| {
        needs_nftables();
        if script == NAT_ELEMENTS {
            nft(&sets(NAT));
        }
        if script == RULE_GONE || script == SET_GONE {
            nft("add table inet n; add set inet n c4 { type ipv4_addr; }; add chain inet n pre");
            nft("add rule inet n pre accept");
        }
        if script.contains("element bridge") || script == TABLE_GONE {
            nft("add table bridge t; add set bridge t s { type iface_index; }; add element bridge t s { 7 }");
        }
        fs::write("/run/rules.nft", script).unwrap();
        let sent = datagrams("nft -f /run/rules.nft");
        let is_batch = |datagram: &&Vec<u8>| datagram.get(4..6) == Some(&[0x10, 0]);
        let mut batch = sent.iter().find(is_batch).expect("a batch").clone();
        // Sequence numbers belong to the socket.
        let mut at = 0;
        while at < batch.len() {
            let length = u32::from_ne_bytes(batch[at..at + 4].try_into().unwrap()) as usize;
            batch[at + 8..at + 12].fill(0);
            at += length.next_multiple_of(4);
        }
        let script = script.trim().lines().collect::<Vec<_>>().join("\n# ");
        text = format!("# {version}\n# nft -f FILE, where FILE has:\n# {script}\n{}", annotate_nft(&batch));
    });
    text
}

#[test]
fn the_golden_bytes_are_what_nft_sends() {
    in_host(|_| {
        needs_nftables();
        let version = run(oracle("nft").arg("-v"));
        let version = version.trim();
        for (name, script) in CAPTURES {
            let path = folder().join(format!("{name}.golden"));
            let fresh = capture(version, script);
            if env::var_os("RECAPTURE").is_some() {
                fs::write(&path, fresh).unwrap();
                continue;
            }
            let stored = fs::read_to_string(&path).unwrap();
            if stored.lines().next() != fresh.lines().next() {
                skip(&format!("the golden bytes are not of {version}"));
            }
            assert_eq!(stored, fresh, "{name}");
        }
    });
}

#[test]
fn nft_shows_what_was_made() {
    in_host(|host| {
        needs_nftables();
        let table = Table { family: Family::Bridge, name: "ours" };
        let ports =
            Set { table, name: "ports", id: 1, key: KeyType::InterfaceIndex, size: None, is_dynamic: false };
        let input = Chain { table, name: "input", base: Some(Base { drops: true, ..Base::input(-5) }) };
        let mut transaction = Transaction::new();
        table::encode_create(&mut transaction, table);
        set::encode_create(&mut transaction, &ports);
        chain::encode_create(&mut transaction, &input);
        rule::encode_append(&mut transaction, &input, |rule| {
            rule.payload(Header::Link, 6, 6, Register::One);
            rule.compare(Register::One, Comparison::Equal, &[2, 0, 0, 0, 0, 7]);
            rule.meta(MetaKey::InputIndex, Register::One);
            rule.lookup(Register::One, &ports);
            rule.counter();
            rule.verdict(RuleVerdict::Accept);
        });
        let mut socket = socket(host);
        let before = socket.generation().unwrap();
        socket.commit(&mut transaction).unwrap();
        assert_eq!(socket.generation().unwrap(), before + 1);
        let mut more = Transaction::new();
        let keys = [1_u32.to_ne_bytes()];
        element::encode_add(&mut more, table, "ports", keys.iter().map(|key| &key[..]));
        socket.commit(&mut more).unwrap();

        let shown = nft("list table bridge ours");
        for line in [
            "type filter hook input priority -5; policy drop;",
            "ether saddr 02:00:00:00:00:07 iif @ports counter packets 0 bytes 0 accept",
            "type iface_index",
            "elements = { \"lo\" }",
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
        assert_eq!(element::list(&mut socket, table, "ports").unwrap()[0].key, 1_u32.to_ne_bytes());
        assert_eq!(rule::list(&mut socket, table).unwrap().len(), 1);
        table::delete(&mut socket, table).unwrap();
        assert_eq!(nft("list ruleset"), "");
    });
}

#[test]
fn a_transaction_is_carried_out_as_a_whole_or_not_at_all() {
    in_host(|host| {
        needs_nftables();
        let mut socket = socket(host);
        let table = |name| Table { family: Family::Bridge, name };
        let mut transaction = Transaction::new();
        table::encode_create(&mut transaction, table("one"));
        let missing = Chain { table: table("missing"), name: "c", base: None };
        chain::encode_create(&mut transaction, &missing);
        table::encode_create(&mut transaction, table("two"));
        let error = socket.commit(&mut transaction).unwrap_err();
        assert_eq!(
            error.to_string(),
            "create chain bridge missing c: No such file or directory (os error 2)"
        );
        assert_eq!(nft("list ruleset"), "");

        let mut twice = Transaction::new();
        table::encode_create(&mut twice, table("one"));
        table::encode_create(&mut twice, table("one"));
        let error = socket.commit(&mut twice).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EEXIST));
        assert_eq!(error.to_string(), "create table bridge one: File exists (os error 17)");
        assert!(table::list(&mut socket, Family::Bridge).unwrap().is_empty());

        // Others' changes in between are noticed where that was asked for.
        let old = socket.generation().unwrap();
        let _ = nft("add table ip theirs");
        let mut stale = Transaction::for_generation(old);
        table::encode_create(&mut stale, table("three"));
        assert_eq!(socket.commit(&mut stale).unwrap_err().errno(), Some(libc::ERESTART));
        assert!(socket.commit(&mut Transaction::new()).unwrap_err().is_invalid_input());
        // The socket still works.
        assert_eq!(table::list(&mut socket, Family::Ip).unwrap()[0].name, "theirs");
    });
}

/// Half a megabyte: a send buffer has some 200 KB to begin with.
#[test]
fn a_transaction_may_be_longer_than_a_send_buffer() {
    in_host(|host| {
        needs_nftables();
        let mut socket = socket(host);
        let table = Table { family: Family::Bridge, name: "long" };
        let mut transaction = Transaction::new();
        table::encode_create(&mut transaction, table);
        let set =
            Set { table, name: "s", id: 1, key: KeyType::InterfaceIndex, size: None, is_dynamic: false };
        set::encode_create(&mut transaction, &set);
        socket.commit(&mut transaction).unwrap();
        let keys: Vec<[u8; 4]> = (1..=10_000_u32).map(u32::to_ne_bytes).collect();
        let mut add = Transaction::new();
        let mut remove = Transaction::new();
        for key in &keys {
            element::encode_add(&mut add, table, "s", [&key[..]].into_iter());
            element::encode_remove(&mut remove, table, "s", [&key[..]].into_iter());
        }
        assert!(add.bytes().len() > 500_000, "{} bytes", add.bytes().len());
        socket.commit(&mut add).unwrap();
        assert_eq!(element::list(&mut socket, table, "s").unwrap().len(), keys.len());
        NftSocket::open_in(host.namespace()).unwrap().commit(&mut remove).unwrap();
        assert!(element::list(&mut socket, table, "s").unwrap().is_empty());
    });
}

#[test]
fn others_changes_are_noticed_and_ours_are_not() {
    in_host(|host| {
        needs_nftables();
        let mut socket = socket(host);
        let table = Table { family: Family::Bridge, name: "ours" };
        let mut notices = RuleNotices::open_beside(&socket).unwrap();
        let mut transaction = Transaction::new();
        table::encode_create(&mut transaction, table);
        socket.commit(&mut transaction).unwrap();
        assert!(!notices.is_changed(socket.port_id()).unwrap());
        table::delete(&mut socket, table).unwrap();
        assert!(notices.is_changed(None).unwrap(), "there was a notice");

        for theirs in ["add table ip theirs", "add set ip theirs s { type ipv4_addr; }", "flush ruleset"] {
            let _ = nft(theirs);
            assert!(notices.is_changed(socket.port_id()).unwrap(), "{theirs}");
            assert!(!notices.is_changed(socket.port_id()).unwrap(), "{theirs}: once");
        }
        let _ = nft("list ruleset");
        assert!(!notices.is_changed(socket.port_id()).unwrap(), "to look is no change");

        // Changes that overflow the buffer may have been somebody else's, even if all were ours.
        set_receive_buffer(notices.as_fd(), 1).unwrap();
        for _ in 0..100 {
            transaction.clear();
            table::encode_create(&mut transaction, table);
            socket.commit(&mut transaction).unwrap();
            table::delete(&mut socket, table).unwrap();
        }
        assert!(notices.is_changed(socket.port_id()).unwrap());
        assert!(!notices.is_changed(socket.port_id()).unwrap());
    });
}

#[test]
fn nft_reads_every_expression_as_we_mean_it() {
    in_host(|host| {
        needs_nftables();
        let table = Table { family: Family::Inet, name: "t" };
        let chain = Chain { table, name: "c", base: None };
        let mut transaction = Transaction::new();
        table::encode_create(&mut transaction, table);
        chain::encode_create(&mut transaction, &chain);
        rule::encode_append(&mut transaction, &chain, |rule| {
            rule.meta(MetaKey::Mark, Register::One);
            rule.mask(Register::One, 0xff_u32.to_ne_bytes());
            rule.compare(Register::One, Comparison::NotEqual, &7_u32.to_ne_bytes());
            rule.meta(MetaKey::OutputIndex, Register::Two);
            rule.byte_order(Register::Two, ByteOrder::Network);
            rule.compare(Register::Two, Comparison::Greater, &9_u32.to_be_bytes());
            rule.verdict(RuleVerdict::Drop);
        });
        socket(host).commit(&mut transaction).unwrap();
        let shown = nft("list table inet t");
        assert!(shown.contains("meta mark & 0x000000ff != 0x00000007 oif > 9 drop"), "{shown}");
    });
}
