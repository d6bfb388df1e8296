//! What counts where the kernel refuses the eBPF program, and which options are then refused. The kernel's refusals are
//! real: it is asked without privilege, with too few file descriptors, without `/sys`; or `strace` makes every bpf(2)
//! call, or one of them, fail, as a seccomp filter does.

use crate::observe::{make_bridge, plug_in, programs};
use crate::watched::Watched;
use crate::{Done, done, finished, metrics, state_of_the_host, xtask};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::{in_host, ip, ip_json, only, oracle, without_capabilities};

const INSTEAD: &str = "the kernel's port statistics in place of the program's counters";

/// `netns ARGUMENTS`, with its bpf(2) calls failing with this error.
fn refused(error: &str, arguments: &str) -> Command {
    let mut strace = oracle("strace");
    strace.args(["-f", "-qqq", "-o", "/run/strace", "-e", "trace=bpf", "-e"]);
    strace.arg(format!("inject=bpf:error={error}"));
    strace.args([xtask("").get_program()]).args(arguments.split_whitespace()).stdin(Stdio::null());
    strace
}

/// Runs it and removes what strace wrote; also returns how many bpf(2) calls there were.
fn traced(command: &mut Command) -> (Done, usize) {
    let done = done(command);
    let trace = std::fs::read_to_string("/run/strace").unwrap();
    std::fs::remove_file("/run/strace").unwrap();
    (done, trace.matches(" bpf(").count())
}

/// The run did its work with the kernel's counters.
#[track_caller]
fn assert_counted_by_kernel(run: &Done) {
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    let counters = run.lines("counters").pop().unwrap();
    assert_eq!((&counters["counters"], &counters["pairs"]), (&json!("kernel"), &json!([])));
    let ports = counters["ports"].as_array().unwrap();
    assert!(ports.iter().all(|port| port["rx_packets"].as_u64() > Some(0)), "{counters}");
    assert!(ports.iter().all(|port| port["violations"].is_null() && port["dropped"].is_null()));
    let summary = only(&Value::Array(run.lines("summary")));
    assert_eq!((&summary["pings_ok"], &summary["pings"]), (&json!(6), &json!(6)));
    assert_eq!((&summary["exact"], &summary["leftovers"]), (&Value::Null, &json!([])));
    assert!(summary["violations"].is_null(), "nobody judged: {summary}");
}

#[test]
fn a_run_without_the_program_says_that_nothing_was_judged() {
    in_host(|_| {
        let (run, _) = traced(&mut refused("ENOSYS", "run --duration 0.5 --plain"));
        assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
        let frames: Vec<&str> = run.out.lines().filter(|line| line.starts_with("frames ")).collect();
        assert_eq!(frames, ["frames    not judged: there was no program to judge them"]);
    });
}

#[test]
fn whatever_error_the_kernel_returns_a_run_uses_its_statistics() {
    in_host(|_| {
        let before = state_of_the_host();
        for (error, why) in [
            (
                "EPERM",
                "load a program: Operation not permitted (os error 1): this process has the capabilities for loading eBPF \
                 programs, so a seccomp filter, kernel lockdown or another security module forbids it",
            ),
            ("ENOSYS", "this kernel lacks eBPF (CONFIG_BPF_SYSCALL): Function not implemented (os error 38)"),
            ("ENOMEM", "load a program: Cannot allocate memory (os error 12)"),
            ("EIO", "load a program: Input/output error (os error 5)"),
        ] {
            let (run, calls) = traced(&mut refused(error, "run --duration 0.5 --json"));
            assert_counted_by_kernel(&run);
            let is_old = run.err.contains("is older than the eBPF program needs");
            assert!(is_old || run.err == format!("{INSTEAD}: {why}\n"), "{}", run.err);
            assert_eq!(run.err.lines().count(), 1);
            assert!(calls > 0);
            assert_eq!(state_of_the_host(), before);
        }
    });
}

/// Wherever the kernel refuses, it is reported at once, never after a long silence.
#[test]
fn a_refusal_at_any_call_ends_loading() {
    in_host(|_| {
        ip("link add br0 type bridge");
        let arguments = "observe br0 --once --json --interval 0.05";
        // Counts the calls without an error: the call to fail does not exist.
        let started = Instant::now();
        let (fine, calls) = traced(&mut refused("ENOMEM:when=9999", arguments));
        // It once took a hundred times as long as without an error.
        let limit = (started.elapsed() * 10 + Duration::from_secs(10)).as_secs().to_string();
        if fine.err.contains(INSTEAD) {
            // A kernel that takes no program at all is another test's subject.
            return;
        }
        assert_eq!((fine.code, fine.err.as_str()), (Some(0), ""));
        assert_eq!(fine.lines("counters")[0]["counters"], "program");
        let program = env!("CARGO_BIN_EXE_netns");
        let (mut refusals, mut when) = (0, 1);
        while when <= calls {
            let inject = format!("inject=bpf:error=ENOMEM:when={when}");
            let mut command = Command::new("timeout");
            command.args([
                "--kill-after=5",
                &limit,
                "strace",
                "-f",
                "-qqq",
                "-o",
                "/run/strace",
                "-e",
                "trace=bpf",
            ]);
            command.args(["-e", &inject, program]).args(arguments.split_whitespace());
            let (observe, _) = traced(&mut command);
            assert_eq!(observe.code, Some(0), "call {when}: {}", observe.err);
            let counters = observe.lines("counters")[0]["counters"].clone();
            let reported: Vec<&str> = observe.err.lines().filter(|line| line.starts_with(INSTEAD)).collect();
            // What else aya asks of the kernel, it can do without.
            assert_eq!(reported.len(), usize::from(counters == "kernel"), "call {when}: {}", observe.err);
            refusals += reported.len();
            // All of the first calls, in which aya probes the kernel; some of the later ones.
            when += if when < 24 { 1 } else { 5 };
        }
        assert!(refusals >= 4, "{refusals}");
    });
}

#[test]
fn running_out_of_descriptors_is_not_taken_for_a_refusal() {
    in_host(|_| {
        ip("link add br0 type bridge");
        let mut errors = 0;
        for limit in [8, 12, 16, 20, 24, 32] {
            let mut command = oracle("prlimit");
            command.arg(format!("--nofile={limit}")).arg(xtask("").get_program());
            let observe = done(command.args(["observe", "br0", "--once", "--json", "--interval", "0.05"]));
            assert!(
                !observe.err.contains(INSTEAD) || observe.err.contains("older"),
                "{limit}: {}",
                observe.err
            );
            match observe.code {
                Some(0) => {}
                code => {
                    assert_eq!(code, Some(2), "{limit}: {}", observe.err);
                    assert!(observe.err.contains("Too many open files"), "{limit}: {}", observe.err);
                    errors += 1;
                }
            }
        }
        assert!(errors > 0);
        let (run, _) = traced(&mut refused("EMFILE", "run --isolated --duration 0.1"));
        assert_eq!(run.code, Some(2));
        let why = "error: load a program: Too many open files (os error 24): loading the eBPF program takes some 30 file \
                   descriptors (`ulimit -n` raises the limit)\n";
        assert_eq!((run.out.as_str(), run.err.as_str()), ("", why));
    });
}

/// The kernel's configuration is blamed only where the kernel does not know what it is asked for.
#[test]
fn a_kernel_without_room_is_not_called_one_without_the_feature() {
    in_host(|_| {
        let mut failures = 0;
        // The first requests try in a throw-away namespace what there is: a bridge, a veth pair, clsact, a filter, nftables.
        let injected = (1..=8).flat_map(|nth| [("sendto", "ENOBUFS", nth), ("sendto", "ENOMEM", nth)]);
        for (call, error, nth) in injected.chain([("unshare", "ENOSPC", 1), ("unshare", "ENOMEM", 1)]) {
            let mut strace = oracle("strace");
            strace.args(["-qqq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
            strace.arg(format!("inject={call}:error={error}:when={nth}"));
            strace.args([xtask("").get_program()]).args(["run", "--isolated", "--duration", "0.1", "--json"]);
            let run = done(strace.stdin(Stdio::null()));
            assert!(!run.err.contains("this kernel has no"), "{error} of {call} {nth}: {}", run.err);
            failures += usize::from(run.code != Some(0));
        }
        assert!(failures > 3, "{failures}");
    });
}

#[test]
fn options_that_need_the_program_are_refused_without_it() {
    in_host(|_| {
        make_bridge();
        std::fs::write("/run/ports.toml", "[port.v1]\nmac = '02:00:00:00:00:01'\n").unwrap();
        let before = state_of_the_host();
        for (arguments, option) in [
            ("run --bridge br1 --enforce", "--enforce"),
            ("run --isolated --enforce", "--enforce"),
            ("run --bridge br1 --attack", "--attack"),
            ("run --bridge br1 --pcap /run/frames", "--pcap"),
            ("observe br0 --once --policy /run/ports.toml", "--policy"),
            ("observe br0 --once --policy /run/ports.toml --enforce", "--enforce"),
            ("observe br0 --once --pcap /run/frames", "--pcap"),
        ] {
            let all = [
                traced(&mut refused("EPERM", arguments)).0,
                without_capabilities(|| done(&mut xtask(arguments))),
            ];
            for run in all {
                assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{arguments}: {}", run.err);
                let start = format!(
                    "error: {option} takes the eBPF program: load a program: Operation not permitted"
                );
                assert!(run.err.starts_with(&start), "{}", run.err);
                assert_eq!(run.err.lines().count(), 1, "{}", run.err);
                assert_eq!(state_of_the_host(), before, "{arguments}");
            }
        }
    });
}

#[test]
fn root_of_a_user_namespace_gets_no_program() {
    in_host(|_| {
        let before = state_of_the_host();
        for flags in ["-Ur", "-Urn", "-Urnm"] {
            let unshared = |arguments: &str| {
                let mut unshare = oracle("unshare");
                unshare.arg(flags).arg(xtask("").get_program()).args(arguments.split_whitespace());
                done(&mut unshare)
            };
            let run = unshared("run --duration 0.5 --json");
            assert_counted_by_kernel(&run);
            // Without `-n` it is root of nothing that matters here.
            let place = match flags {
                "-Ur" => "not root: in a user namespace and a host network of its own",
                _ => "root of a user namespace: in a host network of its own",
            };
            assert_eq!(run.err, format!("{place}, with {INSTEAD}\n"), "{flags}");
            let run = unshared("run --enforce");
            assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{}", run.err);
            let start = "error: --enforce takes the eBPF program: load a program: Operation not permitted (os error 1): \
                         loading eBPF programs needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the \
                         initial user namespace; run as root\n";
            assert_eq!(run.err, start);
            assert_eq!(unshared("run --keep").code, Some(1));
            assert_eq!(state_of_the_host(), before);
        }
    });
}

#[test]
fn a_bridge_is_observed_through_the_kernels_statistics() {
    in_host(|_| {
        make_bridge();
        plug_in(1);
        plug_in(2);
        let before = state_of_the_host();
        let mut observe = without_capabilities(|| {
            Watched::start(&format!("observe br0 --json --interval 0.1 --metrics {}", metrics::PORT))
        });
        let first = observe.line("counters", |line| line["type"] == "counters");
        assert_eq!(first["counters"], "kernel");
        assert_eq!((programs("v1"), programs("v2")), (0, 0));
        assert_eq!(state_of_the_host(), before, "nothing is put onto any port");
        crate::observe::ping(1, 2);
        let link = only(&ip_json("-s link show v1"));
        let [packets, bytes] = ["packets", "bytes"].map(|what| link["stats64"]["rx"][what].as_u64());
        assert!(packets >= Some(3));
        let port = observe
            .port("v1", |port| port["rx_packets"].as_u64() >= packets && port["rx_bytes"].as_u64() >= bytes);
        assert!(port["violations"].is_null() && port["dropped"].is_null(), "{port}");

        let text = metrics::metrics();
        assert!(text.contains("netns_counters_info{counters=\"kernel\",network=\"br0\"} 1"), "{text}");
        assert!(text.contains("netns_port_receive_bytes_total{namespace="), "{text}");

        plug_in(3);
        let came = observe.line("came", |line| line["event"] == "came" && line["port"] == "v3");
        assert_eq!(came["ifindex"], only(&ip_json("link show v3"))["ifindex"]);
        observe.port("v3", |_| true);
        ip("link set v1 nomaster");
        observe.line("left", |line| line["event"] == "left" && line["port"] == "v1");
        ip("link del v3");
        observe.line("left", |line| line["event"] == "left" && line["port"] == "v3");
        let end = observe.end("INT");
        assert_eq!(end.code, Some(0), "{}", end.err);
        assert_eq!(end.err.lines().count(), 1, "{}", end.err);
        assert!(
            end.err.starts_with(&format!("{INSTEAD}: load a program: Operation not permitted")),
            "{}",
            end.err
        );
    });
}

#[test]
fn the_program_counts_without_sys() {
    in_host(|_| {
        let script = format!(
            "mount -t tmpfs none /sys && exec {} run --duration 0.5 --json",
            env!("CARGO_BIN_EXE_netns")
        );
        let run = done(oracle("unshare").args(["-m", "sh", "-c", &script]));
        assert_eq!(run.code, Some(0), "{}", run.err);
        let by = run.lines("counters").pop().unwrap()["counters"].clone();
        if by == "kernel" {
            assert!(run.err.contains("is older than the eBPF program needs: Linux 5.12"), "{}", run.err);
            return;
        }
        assert_eq!(run.err, "");
        assert_eq!(run.lines("summary")[0]["exact"], true);
    });
}

#[test]
fn a_topology_calls_bpf_only_for_policies_and_is_undone_if_refused() {
    in_host(|_| {
        let before = state_of_the_host();
        let plain = "[bridge.br0]\n[namespace.a]\ninterface.eth0 = { bridge = \"br0\" }\n";
        std::fs::write("/run/lab.toml", plain).unwrap();
        let (up, calls) = traced(&mut refused("EPERM", "up /run/lab.toml"));
        assert_eq!((up.code, up.err.as_str(), calls), (Some(0), "", 0));
        let (down, calls) = traced(&mut refused("EPERM", "down /run/lab.toml"));
        assert_eq!((down.code, down.err.as_str(), calls), (Some(0), "", 0));

        let judged = plain.replace("\"br0\" }", "\"br0\", policy = \"enforce\" }");
        std::fs::write("/run/lab.toml", judged).unwrap();
        let (up, calls) = traced(&mut refused("EPERM", "up /run/lab.toml"));
        assert_eq!((up.code, up.err.lines().count()), (Some(2), 1), "{}", up.err);
        assert!(
            up.err.starts_with("error: load a program: Operation not permitted (os error 1): "),
            "{}",
            up.err
        );
        assert!(up.err.ends_with("; what was done is undone\n") && calls > 0, "{}", up.err);
        std::fs::remove_file("/run/lab.toml").unwrap();
        assert_eq!(state_of_the_host(), before);
    });
}

/// A kernel is too old, or it takes the program: nothing in between.
#[test]
fn on_an_old_kernel_the_needed_one_is_named() {
    in_host(|_| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let release = release.trim();
        let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        let is_old = (numbers.next().unwrap(), numbers.next().unwrap()) < (5, 12);
        let run = done(&mut xtask("run --isolated --duration 0.3 --json"));
        let enforce = done(&mut xtask("run --isolated --duration 0.3 --enforce"));
        let verbose = finished(xtask("run --isolated --duration 0.3 -v").output().unwrap());
        assert_eq!((run.code, verbose.code), (Some(0), Some(0)), "{}", run.err);
        if is_old {
            let why = format!(
                "this kernel ({release}) is older than the eBPF program needs: Linux 5.12 (atomic compare-and-exchange in \
                 programs)"
            );
            assert_eq!(run.err, format!("{INSTEAD}: {why}\n"));
            let start = format!("error: --enforce takes the eBPF program: {why}\n");
            assert_eq!((enforce.code, enforce.err), (Some(2), start));
            assert!(
                verbose.err.starts_with(&format!("{INSTEAD}: {why}; the verifier says:\n")),
                "{}",
                verbose.err
            );
            assert!(verbose.err.contains("processed "), "{}", verbose.err);
        } else {
            assert_eq!((run.err.as_str(), enforce.err.as_str(), verbose.err.as_str()), ("", "", ""));
            assert_eq!(enforce.code, Some(0));
            assert_eq!(run.lines("counters")[0]["counters"], "program");
            assert_eq!(run.lines("summary")[0]["exact"], true);
        }
    });
}
