//! Each case of `cni-conformance` fails against a plugin with one defect: ours, wrapped in a script that has it.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use tests::{Scratch, in_host, oracle};

/// Runs the plugin, unless the defect did something else.
const SCRIPT: &str = r#"#!/usr/bin/python3
import json, os, subprocess, sys, time
real, environment = "REAL", os.environ
command, data = environment.get("CNI_COMMAND", ""), sys.stdin.buffer.read()
try:
    conf = json.loads(data)
except ValueError:
    conf = {}
def run(conf=None, **changed):
    given = data if conf is None else json.dumps(conf).encode()
    done = subprocess.run([real], input=given, env={**environment, **changed}, stdout=subprocess.PIPE)
    return done.returncode, done.stdout.decode()
def end(code=0, text=""):
    sys.stdout.write(text)
    sys.exit(code)
def fail(code=999, message="no"):
    end(1, json.dumps({"cniVersion": conf.get("cniVersion"), "code": code, "msg": message}))
def changed(change):
    code, text = run()
    if code == 0 and text:
        answer = json.loads(text)
        change(answer)
        text = json.dumps(answer)
    end(code, text)
def wrong(change):
    code, text = run()
    if code:
        answer = json.loads(text)
        change(answer)
        text = json.dumps(answer)
    end(code, text)
def sh(line):
    return subprocess.run(["sh", "-c", line], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
DEFECT
end(*run())
"#;

/// A defect, and the cases that have to fail for it.
const SEEDS: [(&str, &[&str]); 43] = [
    ("#!/bin/sh\n[ $CNI_COMMAND = DEL ] && exit 0\nexec REAL\n", &["kill-add-del"]),
    ("#!/bin/sh\n[ $CNI_COMMAND = GC ] && exit 0\nexec REAL\n", &["kill-add-gc"]),
    ("if command == 'VERSION': changed(lambda a: a.update(cniVersion='1.0.0'))", &["version-echo"]),
    ("if command == 'PUT': end()", &["command-unknown"]),
    (
        "if not environment.get('CNI_CONTAINERID') and command in ('ADD', 'DEL', 'CHECK'): end(0, '{}')",
        &["containerid-missing-add", "containerid-missing-del", "containerid-missing-check"],
    ),
    (
        "if not environment.get('CNI_IFNAME') and command in ('ADD', 'DEL', 'CHECK'): fail(4, 'CNI_ARGS')",
        &["ifname-missing-add", "ifname-missing-del", "ifname-missing-check"],
    ),
    (
        "if not environment.get('CNI_NETNS') and command in ('ADD', 'CHECK'): fail(7, 'CNI_NETNS')",
        &["netns-missing-add", "netns-missing-check"],
    ),
    (
        "if not environment.get('CNI_CONTAINERID', 'a').isalnum(): end(*run(CNI_CONTAINERID='a'))",
        &["containerid-invalid", "containerid-invalid-named"],
    ),
    ("if len(environment.get('CNI_IFNAME', '')) > 15: end(*run(CNI_IFNAME='eth0'))", &["ifname-invalid"]),
    ("if not conf: fail(7)", &["stdin-no-json"]),
    ("if not conf: end(1, 'panic')", &["stdin-no-json"]),
    ("wrong(lambda a: a.update(code=999))", &["name-missing", "version-unsupported"]),
    ("if '/' in conf.get('name', ''): end(*run({**conf, 'name': 'x'}))", &["name-invalid"]),
    (
        "if conf.get('cniVersion') == '9.9.9': end(*run({**conf, 'cniVersion': '1.0.0'}))",
        &["version-unsupported"],
    ),
    ("wrong(lambda a: a.pop('cniVersion'))", &["error-version"]),
    (
        "code, text = run()\nif code: sh('ip link add left0 type veth peer name left1')\nend(code, text)",
        &["error-leaves-nothing"],
    ),
    ("if 'cni.example/color' in conf: fail(2)", &["unknown-keys"]),
    ("if command == 'ADD': changed(lambda a: a.update(cniVersion='1.0.0'))", &["add"]),
    ("if command == 'ADD': changed(lambda a: [ip.pop('version', 0) for ip in a['ips']])", &["add"]),
    ("if command == 'ADD': changed(lambda a: [ip.update(version='4') for ip in a['ips']])", &["add"]),
    ("if command == 'ADD': changed(lambda a: [ip.pop('interface') for ip in a['ips']])", &["add"]),
    ("if command == 'ADD': changed(lambda a: [i.pop('sandbox', 0) for i in a['interfaces']])", &["add"]),
    ("if command == 'ADD': changed(lambda a: a['routes'].append({'dst': '1.2.3.0/24'}))", &["add"]),
    ("if command == 'DEL': end()", &["add"]),
    (
        "code, text = run()\nif command == 'ADD' and code: run(CNI_COMMAND='DEL')\nend(code, text)",
        &["add-twice", "add-twice-check"],
    ),
    ("if command == 'ADD': sh('ip -n a link delete eth0')", &["add-name-taken"]),
    (
        "if command == 'ADD':\n  try: os.mkdir('/run/busy')\n  except OSError: fail(11)\n  time.sleep(0.3)\n  answer = run()\n  os.rmdir('/run/busy')\n  end(*answer)",
        &["add-parallel"],
    ),
    (
        "if command == 'DEL' and sh('ip -n a link show eth0'): fail()",
        &["del-twice", "del-never-added", "del-interface-gone"],
    ),
    ("if command == 'DEL' and 'prevResult' not in conf: fail()", &["del-no-prevresult"]),
    (
        "if command == 'DEL' and not os.path.exists(environment.get('CNI_NETNS', '/')): fail()",
        &["del-namespace-gone"],
    ),
    ("if command == 'DEL' and 'CNI_NETNS' not in environment: fail()", &["del-without-netns"]),
    ("if command == 'DEL' and 'CNI_NETNS' not in environment: end()", &["del-without-netns-cleans"]),
    ("if command == 'CHECK': fail()", &["check", "gc-keeps"]),
    (
        "if command == 'CHECK': end()",
        &[
            "check-no-prevresult",
            "check-interface-gone",
            "check-interface-down",
            "check-interface-mac",
            "check-address-gone",
            "check-routes-gone",
            "check-host-end-down",
            "check-old",
            "ipam-check",
        ],
    ),
    ("if command == 'GC': end(*run({**conf, 'cni.dev/valid-attachments': []}))", &["gc-keeps"]),
    ("if command == 'GC': end()", &["gc-removes", "gc-frees-addresses", "gc-old", "ipam-gc"]),
    ("if command == 'GC': end(run()[0], '{}')", &["gc-twice"]),
    ("if command == 'STATUS': fail(50)", &["status"]),
    ("if command == 'STATUS': end()", &["ipam-status"]),
    ("if 'cni.example/k' in conf: conf.pop('cni.example/k'); end(*run(conf))", &["ipam-add"]),
    (
        "if command == 'ADD' and os.path.exists('/run/ipam/fail-ADD'): run(); sh('sed -i /DEL/d /run/ipam/calls'); fail()",
        &["ipam-add-fails"],
    ),
    (
        "if command == 'DEL' and conf.get('ipam', {}).get('type') == 'conformance-ipam': run(); end()",
        &["ipam-del-fails"],
    ),
    (
        "if command == 'ADD' and conf.get('ipam', {}).get('type') in ('nobody-has-this', 'conformance-ipam'):\n  sh('ip link add left0 type veth peer name left1'); end(0, '{}')",
        &["ipam-missing", "ipam-add-fails-clean"],
    ),
];

/// The same of the cases of a plugin that comes after others, with `portmap`.
const CHAINED: [(&str, &[&str]); 12] = [
    ("if command == 'ADD': changed(lambda a: a.pop('dns'))", &["chain-hands-on"]),
    ("if command == 'DEL' and 'prevResult' not in conf: fail()", &["chain-del-no-prevresult"]),
    (
        "if command == 'DEL' and not os.path.exists('/run/added'): fail()\nif command == 'DEL': os.remove('/run/added')\nif command == 'ADD': open('/run/added', 'w')",
        &["chain-del-twice", "chain-del-never-added"],
    ),
    ("if command == 'DEL' and sh('ip -n a link show eth0'): fail()", &["chain-del-interface-gone"]),
    ("if command == 'DEL' and sh('nft list table inet netns-cni'): fail()", &["chain-del-damaged"]),
    (
        "if command == 'DEL' and not os.path.exists(environment.get('CNI_NETNS', '/')): fail()",
        &["chain-del-namespace-gone"],
    ),
    (
        "if command == 'ADD' and os.path.exists('/run/added'): fail()\nif command == 'ADD': open('/run/added', 'w')",
        &["chain-add-after-del"],
    ),
    ("if command == 'CHECK': fail()", &["chain-check", "chain-gc-keeps"]),
    ("if command == 'CHECK': end()", &["chain-check-damaged", "chain-check-no-prevresult"]),
    ("if command == 'GC': end()", &["chain-gc-removes"]),
    (
        "if command == 'GC' and os.path.exists('/run/collected'): fail()\nif command == 'GC': open('/run/collected', 'w')",
        &["chain-gc-twice"],
    ),
    ("if command == 'STATUS': fail(50)", &["chain-status"]),
];

/// Plugins that come after others, with a configuration by which each has something to do.
const AFTER_OTHERS: [(&str, &str); 4] = [
    (
        "portmap",
        r#"{"type": "portmap", "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}"#,
    ),
    ("firewall", r#"{"type": "firewall", "backend": "iptables", "ingressPolicy": "same-bridge"}"#),
    (
        "bandwidth",
        r#"{"type": "bandwidth", "ingressRate": 8000, "ingressBurst": 80000, "egressRate": 8000, "egressBurst": 80000}"#,
    ),
    ("tuning", r#"{"type": "tuning", "mtu": 1400}"#),
];

/// A configuration that every seed is tried with.
const CONF: &str = r#"{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipam": {"type": "host-local",
  "ranges": [[{"subnet": "10.88.1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}"#;

const BRIDGE: (&str, &str) = ("bridge", CONF);

/// The lines of TAP that the program writes for the plugin with this defect, of these cases.
fn tap((name, json): (&str, &str), defect: &str, only: Option<&str>) -> Vec<String> {
    let scratch = Scratch::new();
    let (plugin, conf) = (scratch.path().join(name), scratch.path().join("conf.json"));
    if defect.is_empty() {
        symlink(env!("CARGO_BIN_EXE_netns-cni"), &plugin).expect("a link");
    } else {
        // Traced, a shell is done sooner than Python.
        let whole = defect.starts_with("#!");
        let script = if whole { defect.to_owned() } else { SCRIPT.replace("DEFECT", defect) };
        let script = script.replace("REAL", env!("CARGO_BIN_EXE_netns-cni"));
        fs::write(&plugin, script).expect("a script");
        fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    fs::write(&conf, json).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cni-conformance"));
    command.arg(&plugin).arg("--conf").arg(&conf);
    if name != "bridge" {
        command.arg("--chained");
    }
    if let Some(only) = only {
        command.args(["--only", only, "--stop"]);
    }
    let output = command.output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn each_case_fails_for_a_defect_of_its_own() {
    in_host(|_| {
        // They are what the program itself calls.
        let _ = (oracle("unshare"), oracle("strace"), oracle("mount"));
        let chained = CHAINED.iter().map(|seed| (AFTER_OTHERS[0], seed));
        for (plugin, (defect, cases)) in SEEDS.iter().map(|seed| (BRIDGE, seed)).chain(chained) {
            for case in *cases {
                let lines = tap(plugin, defect, Some(case));
                let failed = lines.iter().any(|line| {
                    let id = line.strip_prefix("not ok ").and_then(|rest| rest.split(' ').nth(2));
                    id == Some(case)
                });
                assert!(failed, "{case} does not fail for: {defect}\n{}", lines.join("\n"));
            }
        }
    });
}

/// Without a defect none fails, and each case has a seed above.
#[test]
fn no_case_fails_for_ours_and_each_has_a_seed() {
    in_host(|_| {
        let mut all = Vec::new();
        for plugin in AFTER_OTHERS.into_iter().chain([BRIDGE]) {
            let lines = tap(plugin, "", None);
            let failed: Vec<&String> = lines.iter().filter(|line| line.starts_with("not ok")).collect();
            assert!(failed.is_empty(), "{}: {failed:?}", plugin.0);
            all.extend(lines);
        }
        let mut ids: Vec<&str> = all
            .iter()
            .filter_map(|line| line.strip_prefix("ok ")?.split(' ').nth(2))
            .filter(|id| !SEEDS.iter().chain(&CHAINED).any(|(_, cases)| cases.contains(id)))
            .collect();
        ids.dedup();
        // Of the list that decides what is run at all: a version that is left out there is not tried.
        assert_eq!(ids, ["version"], "cases without a seed");
    });
}

/// The sentences of the cases are those of the specification. Its text is not in the repository:
/// `CNI_SPEC=SPEC.md cargo test -p netns-cni --test seeds sentence -- --ignored`.
#[test]
#[ignore = "takes the specification's text"]
fn each_sentence_is_of_the_specification() {
    // Without what is Markdown: code, emphasis, links, items of lists.
    let plain = |text: &str| -> String {
        let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
        let mut plain = lines.collect::<Vec<_>>().join(" ").replace(['`', '*', '_', '['], "");
        while let Some(start) = plain.find("](") {
            let end = plain[start..].find(')').expect("a link ends");
            plain.replace_range(start..=start + end, "");
        }
        plain.replace(']', "").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let path = std::env::var("CNI_SPEC").expect("CNI_SPEC is the path of SPEC.md");
    let specification = plain(&fs::read_to_string(path).expect("a file"));
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("../conformance/cases.json")).expect("a list of cases");
    assert!(cases.len() > 70, "{}", cases.len());
    for case in cases {
        let sentence = plain(case["says"].as_str().expect("a sentence"));
        let missing = sentence.split("...").find(|part| !specification.contains(part.trim()));
        assert_eq!(missing, None, "{}", case["id"]);
    }
}
