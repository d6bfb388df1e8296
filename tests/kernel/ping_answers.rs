//! Which answers to a ping count: the other namespace sends all kinds of them.

use crate::ip_address;
use netns_core::ping::{Ping, PingOutcome, ping};
use netns_core::sysctl;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tests::{Bridged, in_host, raw_icmp};

const IP_HEADER: usize = 20;

/// Waits for an echo request and answers it, changed by `change`, which gets the ICMP message.
fn answer_once(socket: &UdpSocket, change: impl Fn(&mut Vec<u8>)) {
    let mut packet = [0; 200];
    loop {
        let (length, from) = socket.recv_from(&mut packet).unwrap();
        let mut echo = packet[IP_HEADER..length].to_vec();
        // It also receives its own answers.
        if echo[0] != 8 {
            continue;
        }
        echo[0] = 0;
        change(&mut echo);
        echo[2..4].fill(0);
        let sum = checksum(&echo);
        echo[2..4].copy_from_slice(&sum.to_be_bytes());
        socket.send_to(&echo, SocketAddr::new(from.ip(), 0)).unwrap();
        return;
    }
}

fn checksum(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = pairs.sum();
    let sum = (sum & 0xFFFF) + (sum >> 16);
    !((sum & 0xFFFF) + (sum >> 16)) as u16
}

type Change = fn(&mut Vec<u8>);

#[test]
fn only_the_right_answer_to_this_very_request_counts() {
    const CASES: [(&str, bool, Change); 7] = [
        ("as it should be", true, |_| {}),
        ("another identifier", false, |echo| echo[4] ^= 1),
        ("another sequence number", false, |echo| echo[7] ^= 1),
        ("somebody else's number in the data", false, |echo| echo[8] ^= 1),
        ("shorter", false, |echo| echo.truncate(40)),
        ("longer", false, |echo| echo.push(0)),
        ("no answer at all", false, |echo| echo[0] = 13),
    ];
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let [first, second] = &bridged.insides[..] else { unreachable!() };
        sysctl::set(&second.namespace, "net.ipv4.icmp_echo_ignore_all", "1").unwrap();
        let socket = second.namespace.enter(raw_icmp).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        for (case, counts, change) in CASES {
            let report = std::thread::scope(|scope| {
                scope.spawn(|| answer_once(&socket, change));
                let timeout = if counts { Duration::from_secs(10) } else { Duration::from_millis(300) };
                let request = Ping { timeout, ..Ping::new(ip_address("10.1.1.2")) };
                ping(&first.namespace, &request).unwrap()
            });
            let [outcome] = &report.outcomes[..] else { panic!("{report:?}") };
            assert_eq!(matches!(outcome, PingOutcome::Reply(_)), counts, "{case}: {report:?}");
            assert_eq!(matches!(outcome, PingOutcome::TimedOut), !counts, "{case}: {report:?}");
        }
    });
}
