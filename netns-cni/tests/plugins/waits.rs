//! What `ADD` and `DEL` do not wait for: requests that take the kernel a grace period of RCU, or as long as there are ports.

use crate::stale::trace;
use crate::{ONE, TWO, containers, in_host, ours};
use serde_json::{Value, json};

#[test]
fn no_call_waits_for_the_kernel_more_often_than_it_has_to() {
    in_host(|_| {
        containers(&["one", "two"]);
        let mut runtime = ours("1.1.0");
        let plugin = &mut runtime.list["plugins"][0];
        plugin["type"] = json!("netns-cni");
        plugin["ipMasq"] = json!(true);
        plugin["firewall"] = json!({"ingressPolicy": "same-bridge"});
        plugin["capabilities"] = json!({"portMappings": true, "bandwidth": true});
        let published = |port: u16| {
            json!({
                "portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}],
                "bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 8_000_000},
            })
        };
        runtime.capabilities = published(8080);
        runtime.add(TWO).fine();
        runtime.capabilities = published(8081);
        let (command, input) = runtime.prepare_first("ADD", ONE, &Value::Null);
        let added = trace(&command, &input);
        // `packet_release` waits for a grace period.
        assert!(!added.contains("AF_PACKET"), "{added}");
        // `nf_tables_abort` does, too: nothing is tried that is there already.
        let refused = added.lines().find(|line| line.contains("error=-") && line.contains("NFT_MSG"));
        assert_eq!(refused, None);
        // And a list of routes has some for each port.
        let lists =
            added.lines().filter(|line| line.contains("RTM_NEWROUTE") && line.contains("NLM_F_MULTI"));
        assert_eq!(lists.count(), 0, "{added}");
        // One of addresses, too, but for the bridge's own.
        let listed = |line: &&str| line.contains("RTM_NEWADDR") && line.contains("NLM_F_MULTI");
        assert!(added.lines().filter(listed).all(|line| !line.contains("veth")), "{added}");
        let (command, input) = runtime.prepare_first("DEL", ONE, &Value::Null);
        let removed = trace(&command, &input);
        // Closing one waits until what was removed is freed.
        let sockets = removed
            .lines()
            .filter(|line| line.contains("socket(AF_NETLINK") && line.contains("NETLINK_NETFILTER"));
        assert_eq!(sockets.count(), 1, "{removed}");
        // The program is held, and nothing is loaded to use it.
        for trace in [added, removed] {
            assert!(trace.contains("BPF_MAP_GET_FD_BY_ID"), "{trace}");
            let loaded =
                ["BPF_PROG_LOAD", "BPF_BTF_LOAD", "BPF_MAP_CREATE"].map(|call| trace.matches(call).count());
            assert_eq!(loaded, [0; 3], "{trace}");
        }
    });
}
