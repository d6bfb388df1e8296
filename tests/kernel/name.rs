//! `IfName` accepts what the kernel accepts.

use netns_core::wire::{Batch, IfInfoMsg};
use netns_core::{IfName, RouteSocket};
use tests::in_host;

/// Whether the kernel makes a bridge with this name. It stays, since deleting takes far longer than making.
fn kernel_accepts(socket: &mut RouteSocket, name: &str) -> bool {
    let mut batch = Batch::new();
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    batch.message(libc::RTM_NEWLINK, flags, &IfInfoMsg::default(), |attributes| {
        attributes.text(libc::IFLA_IFNAME, name);
        attributes.nest(libc::IFLA_LINKINFO, |info| info.text(libc::IFLA_INFO_KIND, "bridge"));
    });
    socket.execute(&mut batch).is_ok()
}

#[test]
fn every_character_is_judged_as_the_kernel_judges_it() {
    in_host(|host| {
        let mut socket = host.socket();
        // NUL ends a name for the kernel, so it does not see the rest. Above U+00FF UTF-8 has no bytes that it does
        // not have below.
        let mut refused = Vec::new();
        for character in '\u{1}'..='\u{FF}' {
            let name = format!("a{character}b");
            let accepted = kernel_accepts(&mut socket, &name);
            assert_eq!(IfName::new(&name).is_ok(), accepted, "{name:?}");
            if !accepted {
                refused.push(character);
            }
        }
        let expected = ['\t', '\n', '\u{B}', '\u{C}', '\r', ' ', '%', '/', ':', '\u{A0}', '\u{E0}'];
        assert_eq!(refused, expected);
    });
}

#[test]
fn lengths_and_reserved_names_are_judged_as_the_kernel_judges_them() {
    in_host(|host| {
        let mut socket = host.socket();
        for name in
            [".", "..", "...", "a", &"x".repeat(15), &"y".repeat(16), "0", "-", "all", "default", "alle"]
        {
            assert_eq!(IfName::new(name).is_ok(), kernel_accepts(&mut socket, name), "{name:?}");
        }
        assert!(IfName::new("").is_err() && IfName::new("a%d").is_err() && IfName::new("a\0b").is_err());
    });
}
