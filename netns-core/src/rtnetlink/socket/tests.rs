//! What cannot be seen of the socket from outside the crate; the rest is in `tests/kernel` of the workspace.

use super::RouteSocket;
use super::answer::refusal;
use crate::bridge::{self, Bridge};
use crate::error::ErrorKind;
use crate::link;
use crate::wire::{
    Batch, IfAddrMsg, IfInfoMsg, Message, Messages, NLMSGERR_ATTR_MISS_TYPE, NLMSGERR_ATTR_MSG,
    NLMSGERR_ATTR_OFFS, NlMsgErr, NlMsgHdr,
};
use crate::{Error, IfName, MacAddress, Namespace};
use bytemuck::bytes_of;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

fn name(name: &str) -> IfName {
    name.parse().unwrap()
}

/// A list that changes while the kernel sends it is marked, and asked for again: then one list takes more than one
/// sequence number.
#[test]
fn an_interrupted_dump_is_asked_for_again() {
    // More than one datagram of 32 KiB can hold.
    const STEADY: u32 = 80;
    if let Some(missing) = crate::missing_capabilities().unwrap().first() {
        assert!(std::env::var_os("CI").is_none(), "not to be skipped on CI: {missing} missing");
        let _ =
            writeln!(std::io::stderr(), "SKIPPED an_interrupted_dump_is_asked_for_again: {missing} missing");
        return;
    }
    let namespace = Namespace::anonymous().unwrap();
    let mut socket = RouteSocket::open_in(&namespace).unwrap();
    for number in 0..STEADY {
        let bridge = Bridge::new(name(&format!("steady{number}")), MacAddress::local(number.into()));
        bridge::create(&mut socket, &bridge).unwrap();
    }
    let stop = AtomicBool::new(false);
    let repeated = thread::scope(|scope| {
        scope.spawn(|| {
            let mut socket = RouteSocket::open_in(&namespace).unwrap();
            let bridge = Bridge::new(name("churn"), MacAddress::local(999));
            while !stop.load(Relaxed) {
                let _ = bridge::create(&mut socket, &bridge);
                let _ = link::delete(&mut socket, bridge.name);
            }
        });
        let deadline = Instant::now() + Duration::from_secs(50);
        let mut repeated = 0;
        while repeated < 3 && Instant::now() < deadline {
            let before = socket.sequence;
            // `lo`, the steady ones, and perhaps the other one; on a slow machine it may change every time.
            match link::list(&mut socket) {
                Ok(links) if matches!(links.len(), 81 | 82) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
            repeated += u32::from(socket.sequence - before > 1);
        }
        stop.store(true, Relaxed);
        repeated
    });
    assert_eq!(repeated, 3, "no list was asked for again, or one was wrong");
}

/// A list that was not read to its end leaves datagrams, which are no answer to the next request.
#[test]
fn leftovers_of_an_earlier_list_are_no_answer() {
    if let Some(missing) = crate::missing_capabilities().unwrap().first() {
        assert!(std::env::var_os("CI").is_none(), "not to be skipped on CI: {missing} missing");
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED leftovers_of_an_earlier_list_are_no_answer: {missing} missing"
        );
        return;
    }
    let namespace = Namespace::anonymous().unwrap();
    let mut socket = RouteSocket::open_in(&namespace).unwrap();
    let bridge = |number: u64| Bridge::new(name(&format!("b{number}")), MacAddress::local(number));
    for number in 0..80 {
        bridge::create(&mut socket, &bridge(number)).unwrap();
    }
    let fail = |socket: &mut RouteSocket| {
        let mut batch = Batch::new();
        batch.message(libc::RTM_GETLINK, 0, &IfInfoMsg::default(), |_| {});
        let read = |_: &Message<'_>| -> crate::Result<Option<()>> { Err(Error::invalid("read", "", "no")) };
        socket.dump(&mut batch, read).unwrap_err();
    };
    fail(&mut socket);
    bridge::create(&mut socket, &bridge(80)).unwrap();
    fail(&mut socket);
    assert_eq!(link::get(&mut socket, name("b80")).unwrap().name, name("b80"));
    fail(&mut socket);
    assert_eq!(link::list(&mut socket).unwrap().len(), 82);
}

#[test]
fn answers_to_another_port_id_are_not_ours() {
    let mut socket = RouteSocket::open().unwrap();
    link::get(&mut socket, 1).unwrap();
    let port = socket.port.expect("the first answer has the port id");
    assert!(socket.is_ours(&NlMsgHdr { port, ..NlMsgHdr::default() }));
    for other in [0, port ^ 1, u32::MAX] {
        assert!(!socket.is_ours(&NlMsgHdr { port: other, ..NlMsgHdr::default() }));
    }
}

/// A refusal with these extended acknowledgement attributes.
fn words(request: &Batch, details: impl FnOnce(&mut crate::wire::AttributeWriter<'_>)) -> String {
    let header = Messages::new(request.bytes()).next().unwrap().header;
    let mut answer = Batch::new();
    let error = NlMsgErr { error: -libc::EINVAL, request: header };
    let flags = libc::NLM_F_CAPPED | libc::NLM_F_ACK_TLVS;
    answer.message(libc::NLMSG_ERROR as u16, flags, &error, details);
    let answer = Messages::new(answer.bytes()).next().unwrap();
    refusal(request.bytes(), &answer, libc::EINVAL).to_string()
}

#[test]
fn what_the_kernel_explains_is_put_into_words() {
    let mut request = Batch::new();
    request.message(libc::RTM_NEWADDR, libc::NLM_F_CREATE, &IfAddrMsg::default(), |attributes| {
        attributes.value(libc::IFA_LOCAL, [10_u8, 1, 1, 1]);
    });
    let operation = "add address 10.1.1.1/0 on interface 0: Invalid argument (os error 22)";
    assert_eq!(words(&request, |_| {}), operation);
    assert_eq!(
        words(&request, |details| details.text(NLMSGERR_ATTR_MSG, "why")),
        format!("{operation}: why")
    );
    assert_eq!(words(&request, |details| details.text(NLMSGERR_ATTR_MSG, "")), operation);
    assert_eq!(
        words(&request, |details| {
            details.text(NLMSGERR_ATTR_MSG, "why");
            details.value(NLMSGERR_ATTR_OFFS, 24_u32);
        }),
        format!("{operation}: why (at IFA_LOCAL)")
    );
    // An offset at which nothing begins is left out.
    assert_eq!(words(&request, |details| details.value(NLMSGERR_ATTR_OFFS, 23_u32)), operation);
    assert_eq!(
        words(&request, |details| details.value(NLMSGERR_ATTR_MISS_TYPE, u32::from(libc::IFA_ADDRESS))),
        format!("{operation} (at missing IFA_ADDRESS)")
    );
}

#[test]
fn a_refusal_of_another_request_is_no_refusal() {
    let mut request = Batch::new();
    request.message(libc::RTM_GETLINK, 0, &IfInfoMsg { index: 5, ..IfInfoMsg::default() }, |_| {});
    let header = NlMsgHdr { sequence: 77, length: 36, kind: libc::NLMSG_ERROR as u16, ..NlMsgHdr::default() };
    let answer = [bytes_of(&header), &[0; 20]].concat();
    let answer = Messages::new(&answer).next().unwrap();
    let error = refusal(request.bytes(), &answer, libc::EINVAL);
    assert_eq!(error.to_string(), "get link interface 5: the kernel refused a request that was not made");
    assert_eq!(error.errno(), None);
}
