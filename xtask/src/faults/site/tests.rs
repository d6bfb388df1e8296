//! Lines as strace 6.1 writes them.

use super::{KnownSite, Site, sites};

const LOG: &str = r#"7     openat(AT_FDCWD, "/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY|O_CLOEXEC) = 3
7     socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE) = 5<NETLINK:[ROUTE:7]>
7     sendto(5<NETLINK:[ROUTE:7]>, [{nlmsg_len=28, nlmsg_type=RTM_GETROUTE, nlmsg_flags=NLM_F_REQUEST|NLM_F_DUMP, nlmsg_seq=2, nlmsg_pid=0}, {rtm_family=AF_UNSPEC}], 28, 0, NULL, 0) = 28
7     sendto(6<NETLINK:[ROUTE:8]>, [{nlmsg_len=84, nlmsg_type=0x10 /* NLMSG_??? */, nlmsg_flags=NLM_F_REQUEST, nlmsg_seq=1}, "\x00"], 84, 0, NULL, 0) = 84
9     sendto(6<NETLINK:[ROUTE:9]>, [{nlmsg_len=84, nlmsg_type=0x10 /* NLMSG_??? */, nlmsg_flags=NLM_F_REQUEST, nlmsg_seq=2}, "\x00"], 84, 0, NULL, 0 <unfinished ...>
9     <... sendto resumed>)             = 84
7     recvmsg(5<NETLINK:[ROUTE:7]>, {msg_namelen=12}, MSG_DONTWAIT) = 36
7     sendto(5<NETLINK:[ROUTE:7]>, [{nlmsg_len=84, nlmsg_type=RTM_DELLINK, nlmsg_flags=NLM_F_REQUEST, nlmsg_seq=1}, ""], 84, 0, NULL, 0) = 84
7     recvmsg(5<NETLINK:[ROUTE:7]>, {msg_namelen=12}, MSG_DONTWAIT) = 36
7     write(2</dev/null>, "hello", 5) = 5
7     write(4</run/netns-xtask.record>, "namespace ns1", 13) = 13
7     mkdir("/run/netns", 0755) = 0
7     umount2("/run/netns/ns1", MNT_DETACH) = 0
7     umount2("/run/netns/ns2", MNT_DETACH) = 0
"#;

fn summary(sites: &[Site]) -> Vec<(&str, u32, &str, bool)> {
    sites.iter().map(|site| (&*site.call, site.when, &*site.words, site.changes)).collect()
}

#[test]
fn each_site_is_there_once() {
    assert_eq!(
        summary(&sites(LOG, false, &mut KnownSite::new())),
        [
            ("socket", 1, "AF_NETLINK", false),
            ("sendto", 1, "RTM_GETROUTE", false),
            ("sendto", 2, "RTM_NEWLINK", true),
            ("recvmsg", 1, "answer to RTM_NEWLINK", false),
            ("sendto", 3, "RTM_DELLINK", true),
            ("recvmsg", 2, "answer to RTM_DELLINK", false),
            ("write", 2, "/run/netns-xtask.record", true),
            ("mkdir", 1, "/run/netns", true),
            ("umount2", 1, "/run/netns/ns#", true),
        ]
    );
}

#[test]
fn all_sites_are_counted_by_thread() {
    let all = sites(LOG, true, &mut KnownSite::new());
    let sent: Vec<u32> = all.iter().filter(|site| site.call == "sendto").map(|site| site.when).collect();
    assert_eq!(sent, [1, 2, 1, 3]);
    assert_eq!(all.iter().filter(|site| site.call == "umount2").count(), 2);
}

#[test]
fn what_is_known_is_not_tried_again() {
    let mut known = KnownSite::new();
    assert_eq!(sites(LOG, false, &mut known).len(), 9);
    assert_eq!(sites(LOG, false, &mut known), []);
    assert_eq!(sites(LOG, true, &mut known).len(), 11);
}

#[test]
fn a_batch_that_ends_with_a_question_changes_something() {
    let log = "7 sendto(5<NETLINK:[ROUTE:7]>, [[{nlmsg_len=28, nlmsg_type=RTM_NEWLINK, nlmsg_flags=NLM_F_REQUEST}, {}], \
               [{nlmsg_len=28, nlmsg_type=RTM_GETLINK, nlmsg_flags=NLM_F_REQUEST}, {}]], 56, 0, NULL, 0) = 56\n";
    assert_eq!(
        summary(&sites(log, false, &mut KnownSite::new())),
        [("sendto", 1, "RTM_NEWLINK+RTM_GETLINK", true)]
    );
}

#[test]
fn messages_have_names_where_strace_has_numbers() {
    let log = "7 sendto(5<NETLINK:[9]>, [{nlmsg_len=20, nlmsg_type=0x10 /* x */, nlmsg_flags=0}, \"\"], \
               [{nlmsg_len=20, nlmsg_type=NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_DELTABLE, nlmsg_flags=0}], \
               [{nlmsg_len=20, nlmsg_type=0x11 /* x */, nlmsg_flags=0}]], 60, 0, NULL, 0) = 60\n";
    assert_eq!(
        summary(&sites(log, false, &mut KnownSite::new())),
        [("sendto", 1, "NFNL_MSG_BATCH_BEGIN+NFT_MSG_DELTABLE+NFNL_MSG_BATCH_END", true)]
    );
}
