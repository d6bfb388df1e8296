//! Commands in anonymous sandboxes that resolve names with the network's resolvers.

use super::nat::{PROVIDER_V4, at, options, with_provider};
use netns_core::network::{Network, NetworkOptions, RecordedNetwork, Sandbox};
use netns_core::{ErrorKind, Namespace};
use std::fs;
use std::io::ErrorKind as Io;
use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tests::{in_host, oracle, run};

/// The name that the server knows.
const NAME: &str = "there.example";
const ADDRESS: [u8; 4] = [203, 0, 113, 7];

/// Answers each question for an IPv4 address with [`ADDRESS`], and any other with nothing, until `done`.
fn serve(socket: &UdpSocket, done: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut question = [0; 512];
    while !done.load(Ordering::Relaxed) {
        let (length, peer) = match socket.recv_from(&mut question) {
            Err(error) if error.kind() == Io::WouldBlock => continue,
            other => other.unwrap(),
        };
        let question = &question[..length];
        // The name ends with an empty label; its type and class follow (RFC 1035, 4.1.2).
        let end = 12 + question[12..].iter().position(|&byte| byte == 0).unwrap() + 5;
        let is_ipv4 = question[end - 4..end - 2] == [0, 1];
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
        answer.extend(&question[12..end]);
        if is_ipv4 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(ADDRESS);
        }
        socket.send_to(&answer, peer).unwrap();
    }
}

/// Runs `f` while a name server runs in this namespace.
fn with_name_server(namespace: &Namespace, f: impl FnOnce()) {
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let socket = namespace.enter(|| UdpSocket::bind(at(PROVIDER_V4, 53))).unwrap().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| serve(&socket, &done));
        // The server ends even if the test fails.
        let _done = Done(&done);
        f();
    });
}

/// Gives this test's mount namespace an `/etc` of its own, whose resolver is unreachable; `link` makes the file a
/// symbolic link.
fn own_etc(link: bool) {
    let before = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let _ = run(oracle("mount").args(["-t", "tmpfs", "tmpfs", "/etc"]));
    fs::write("/etc/nsswitch.conf", before).unwrap();
    fs::write("/etc/passwd", passwd).unwrap();
    let text = "nameserver 127.0.0.53\n";
    if link {
        fs::create_dir("/run/resolve").unwrap();
        fs::write("/run/resolve/stub.conf", text).unwrap();
        symlink("../run/resolve/stub.conf", "/etc/resolv.conf").unwrap();
    } else {
        fs::write("/etc/resolv.conf", text).unwrap();
    }
}

fn output(child: Child) -> (bool, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn resolves(sandbox: &Sandbox) {
    let mut asked = command(&["getent", "ahostsv4", NAME]);
    let (found, text) = output(sandbox.spawn_resolving(&mut asked).unwrap());
    assert!(found && text.starts_with("203.0.113.7 "), "{text:?}");
    // With another C library, as containers have it.
    let mut other = oracle("busybox");
    other.args(["nslookup", "-type=a", NAME]).stdin(Stdio::null()).stdout(Stdio::piped());
    let (found, text) = output(sandbox.spawn_resolving(&mut other).unwrap());
    assert!(found && text.contains("Address: 203.0.113.7\n"), "{text:?}");
    // The same command, started without the network's resolvers: it has the host's.
    let (found, text) = output(sandbox.spawn(&mut asked).unwrap());
    assert!(!found && text.is_empty(), "{text:?}");
}

#[test]
fn commands_of_anonymous_sandboxes_ask_the_networks_resolvers() {
    with_provider(|_, provider| {
        own_etc(false);
        let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let mounted = mounts();
        let resolvers = vec![PROVIDER_V4.parse().unwrap()];
        let network = Network::create(&NetworkOptions { resolvers, ..options() }).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        with_name_server(provider, || resolves(&sandbox));

        // It is a file that an ordinary user can read, the rest of `/etc` is there, and the namespace is the sandbox's.
        let script = "stat -c %a /etc/resolv.conf; cat /etc/resolv.conf; ls /etc; readlink /proc/self/ns/net";
        let (_, text) = output(sandbox.spawn_resolving(&mut command(&["sh", "-c", script])).unwrap());
        let inode = sandbox.namespace().unwrap().id().unwrap().inode;
        let expected =
            format!("644\nnameserver {PROVIDER_V4}\nnsswitch.conf\npasswd\nresolv.conf\nnet:[{inode}]\n");
        assert_eq!(text, expected);
        // What root inside writes to it, nobody else reads; and nothing is mounted here.
        let write = ["sh", "-c", "echo '# written' >/etc/resolv.conf && cat /etc/resolv.conf"];
        let (_, text) = output(sandbox.spawn_resolving(&mut command(&write)).unwrap());
        assert_eq!(text, "# written\n");
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), "nameserver 127.0.0.53\n");
        assert_eq!(mounts(), mounted);

        // A command that cannot be started says so.
        let error = sandbox.spawn_resolving(&mut Command::new("/no/such/program")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "run command /no/such/program: exec: No such file or directory (os error 2)"
        );
    });
}

/// As systemd-resolved and resolvconf have it.
#[test]
fn a_resolv_conf_that_is_a_symbolic_link() {
    with_provider(|_, provider| {
        own_etc(true);
        let resolvers = vec![PROVIDER_V4.parse().unwrap()];
        let network = Network::create(&NetworkOptions { resolvers, ..options() }).unwrap();
        with_name_server(provider, || resolves(&network.create_sandbox().unwrap()));
        assert_eq!(fs::read_to_string("/run/resolve/stub.conf").unwrap(), "nameserver 127.0.0.53\n");
    });
}

#[test]
fn without_resolvers_or_a_file_nothing_is_started() {
    in_host(|_| {
        let network = Network::create(&NetworkOptions { masquerade: false, ..options() }).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let error = sandbox.spawn_resolving(&mut Command::new("true")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "run command true: the network has no resolvers (NetworkOptions::resolvers)"
        );
        assert!(error.is_invalid_input());
        own_etc(false);
        fs::remove_file("/etc/resolv.conf").unwrap();
        let inside = sandbox.namespace().unwrap();
        let error = inside.spawn_with_resolv_conf(&mut Command::new("true"), "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().starts_with("prepare the view of /etc/resolv.conf: "), "{error}");
        drop((sandbox, network));
    });
}

/// A network that lets nothing out also has resolvers, on the host for instance, and keeps them when another engine
/// takes it over.
#[test]
fn resolvers_outlive_the_process() {
    in_host(|_| {
        own_etc(false);
        tests::in_fork(|| {
            let resolvers = vec!["10.99.0.1".parse().unwrap(), "fd99::1".parse().unwrap()];
            let options = NetworkOptions { masquerade: false, resolvers, ..options() };
            let network = Network::create(&options).unwrap();
            // As if killed: nothing is dropped.
            std::mem::forget((network.create_named_sandbox("kept").unwrap(), network));
            Ok(())
        })
        .unwrap();
        let recorded = RecordedNetwork::list(RecordedNetwork::FOLDER).unwrap().remove(0);
        let (network, mut sandboxes) = recorded.open(None).unwrap();
        let sandbox = sandboxes.remove(0);
        let mut cat = command(&["cat", "/etc/resolv.conf"]);
        let (_, text) = output(sandbox.spawn_resolving(&mut cat).unwrap());
        assert_eq!(text, "nameserver 10.99.0.1\nnameserver fd99::1\n");
        drop((sandbox, network));
    });
}
