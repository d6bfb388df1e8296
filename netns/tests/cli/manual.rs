//! Completions and man pages: generated from the arguments, and read by the programs that they are for.

use crate::{done, xtask};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tests::{Scratch, in_host, ip, oracle};

#[test]
fn completions_of_three_shells() {
    let scratch = Scratch::new();
    let script = |shell: &str| scratch.path().join(shell);
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef netns"), ("fish", "complete -c netns")] {
        let run = done(&mut xtask(&format!("completions {shell}")));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        assert!(run.out.contains(mark) && run.out.lines().count() > 100, "{shell}");
        for command in ["netns", "neigh", "two-words", "completions"] {
            assert_eq!(run.out.contains(command), command != "two-words", "{shell}: {command}");
        }
        fs::write(script(shell), &run.out).unwrap();
        // A shell that is not installed cannot check its own.
        let checked = Command::new(shell).arg("-n").arg(script(shell)).stderr(Stdio::inherit()).status();
        assert!(checked.map_or_else(|_| shell != "bash", |status| status.success()), "{shell} -n");
    }
    // Those that are installed load theirs and know the command.
    let zsh = "autoload -U compinit; compinit -u -D; source $0; print -r -- $_comps[netns]";
    let fish = "source $argv[1]; complete -C 'netns net'";
    for (shell, plain, code, expected) in [
        ("zsh", "-f", zsh, "_netns_names\n"),
        ("fish", "--no-config", fish, "netns\tNamed network namespaces"),
    ] {
        let mut command = Command::new(shell);
        command.args([plain, "-c", code]).arg(script(shell)).env("HOME", scratch.path());
        let Ok(loaded) = command.output() else {
            assert!(std::env::var_os("CI").is_none(), "no {shell}; run: apt-get install {shell}");
            continue;
        };
        let out = String::from_utf8_lossy(&loaded.stdout);
        assert!(out.starts_with(expected), "{shell}: {out}{}", String::from_utf8_lossy(&loaded.stderr));
    }
    // What bash would offer for `netns net`.
    let offer =
        "source $0; COMP_WORDS=(netns net); COMP_CWORD=1; _netns netns net netns; echo \"${COMPREPLY[@]}\"";
    let offered = tests::run(Command::new("bash").arg("-c").arg(offer).arg(script("bash")));
    assert_eq!(offered, "netns\n");
}

#[test]
fn man_pages_of_every_command() {
    let scratch = Scratch::new();
    let folder = scratch.path();
    let run = done(xtask("man").arg(folder));
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let mut pages: Vec<String> =
        fs::read_dir(folder).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort_unstable();
    for page in
        ["netns.1", "netns-up.1", "netns-netns-exec.1", "netns-bridge-fdb-replace.1", "netns-route-get.1"]
    {
        assert!(pages.iter().any(|known| known == page), "{page} of {pages:?}");
    }
    let up = fs::read_to_string(folder.join("netns-up.1")).unwrap();
    assert!(up.contains(".TH") && up.contains("Exit codes"), "{up}");
    // Debian's man reads every page without a warning.
    for page in &pages {
        let shown = Command::new("man")
            .args(["--warnings=w", "-l"])
            .arg(folder.join(page))
            .env("MANPAGER", "cat")
            .env("MANWIDTH", "200")
            .output();
        let Ok(shown) = shown else { return };
        assert!(shown.status.success(), "{page}");
        assert_eq!(String::from_utf8_lossy(&shown.stderr), "", "{page}");
    }
}

#[test]
fn a_typo_gets_a_suggestion() {
    for (slip, meant) in [("nets", "netns"), ("brigde", "bridge"), ("completions bsh", "bash")] {
        let run = done(&mut xtask(slip));
        assert_eq!(run.code, Some(1));
        assert!(run.err.contains("tip: a similar") && run.err.contains(&format!("'{meant}'")), "{}", run.err);
    }
}

#[test]
fn help_calls_the_program_by_its_name() {
    for arguments in ["--help", "run --help", "netns --help", "man --help", "completions --help"] {
        let help = done(&mut xtask(arguments));
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
        assert!(help.out.contains("Usage: netns") && !help.out.contains("xtask"), "{}", help.out);
    }
}

#[test]
fn each_command_lists_its_exit_codes() {
    let down = done(&mut xtask("down --help")).out;
    let up = done(&mut xtask("up --help")).out;
    assert!(down.contains("`down` goes on") && !down.contains("what was done is undone"), "{down}");
    assert!(up.contains("what was done is undone") && !up.contains("`down` goes on"), "{up}");
}

#[test]
fn reasons_are_explained() {
    let all = done(&mut xtask("reasons"));
    assert_eq!((all.code, all.err.as_str()), (Some(0), ""));
    assert_eq!(all.out.lines().count(), netns_ebpf::packet::Reason::ALL.len());
    let two = done(&mut xtask("reasons ether-type ipv4-ttl"));
    assert_eq!(two.out.lines().count(), 2);
    let words: Vec<&str> = two.out.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(words.join(" "), "ipv4-ttl The time to live is 0.");
    let json: serde_json::Value =
        serde_json::from_str(&done(&mut xtask("reasons --json ipv4-ttl")).out).unwrap();
    assert_eq!(json, serde_json::json!({ "ipv4-ttl": "The time to live is 0." }));
    let wrong = done(&mut xtask("reasons ipv4-tll"));
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.err.contains("'ipv4-ttl'"), "{}", wrong.err);
}

/// The topologies that are up, as a shell that asks for them gets them.
#[test]
fn labs_that_are_up_are_completed() {
    in_host(|_| {
        let file = Path::new("/run/one.toml");
        fs::write(file, "[namespace.a]\n").unwrap();
        assert_eq!(done(&mut xtask("up /run/one.toml")).code, Some(0));
        // The scripts call the command by its name.
        let folder = Path::new(env!("CARGO_BIN_EXE_netns")).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        for (shell, code) in [
            (
                "zsh",
                "compdef() {}; _netns() {}; compadd() { shift; print -r -- $@ }; words=(netns down ''); CURRENT=3; source $0; _netns_names",
            ),
            ("fish", "source $argv[1]; complete -C 'netns down /run/on'"),
        ] {
            let script = Path::new("/run/script");
            fs::write(script, done(&mut xtask(&format!("completions {shell}"))).out).unwrap();
            let plain = if shell == "zsh" { "-f" } else { "--no-config" };
            let mut command = Command::new(shell);
            command.args([plain, "-c", code]).arg(script).env("PATH", &path).env("HOME", "/run");
            let Ok(offered) = command.output() else {
                assert!(std::env::var_os("CI").is_none(), "no {shell}; run: apt-get install {shell}");
                continue;
            };
            let out = String::from_utf8_lossy(&offered.stdout);
            assert!(
                out.contains("/run/one.toml"),
                "{shell}: {out}{}",
                String::from_utf8_lossy(&offered.stderr)
            );
        }
        assert_eq!(done(&mut xtask("down /run/one.toml")).code, Some(0));
    });
}

#[test]
fn help_after_words_is_that_of_their_verb() {
    for (line, text) in [
        ("link --help", "Change a link"),
        ("l help", "Change a link"),
        ("link add --help", "type veth peer [name] NAME"),
        ("-n ns1 route help", "Show the route that a packet would take"),
        ("bridge fdb add --help", "[sticky]"),
        ("bridge link --help", "Change options of a port"),
        ("netns --help", "Run a command in a named namespace"),
    ] {
        let help = done(&mut xtask(line));
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""), "{line}");
        assert!(help.out.contains(text), "{line}: {}", help.out);
    }
}

/// What bash offers at the end of a line.
fn offered(script: &Path, line: &str) -> Vec<String> {
    let offer = "source $0; COMP_WORDS=($1 \"$2\"); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); \
        _netns_names netns \"$2\" \"${COMP_WORDS[COMP_CWORD-1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let (words, last) = line.rsplit_once(' ').unwrap();
    let offered = tests::run(Command::new("bash").arg("-c").arg(offer).arg(script).args([words, last]));
    offered.lines().map(str::to_owned).collect()
}

#[test]
fn words_and_existing_names_are_completed() {
    in_host(|_| {
        let script = Path::new("/run/netns.bash");
        fs::write(script, done(&mut xtask("completions bash")).out).unwrap();
        ip("netns add green");
        // /sys shows the namespace that it was mounted in; the links of another one are in `green`.
        for (line, wanted) in [
            ("netns link set nom", &["nomaster"][..]),
            ("netns route add 10.0.0.0/8 onl", &["onlink"]),
            ("netns bridge fdb add st", &["static", "sticky"]),
            ("netns addr add 10.0.0.1/8 nop", &["noprefixroute"]),
            ("netns -n gr", &["green"]),
            ("netns netns exec gr", &["green"]),
            ("netns link set eth0 netns gr", &["green"]),
            ("netns ne", &["netns", "neigh", "neighbour"]),
            ("netns reasons ipv4-sou", &["ipv4-source-invalid", "ipv4-source-foreign", "ipv4-source-route"]),
        ] {
            assert_eq!(offered(script, line), wanted, "{line}");
        }
        ip("netns add yellow");
        let mut inside = oracle("ip");
        let offer = format!(
            "source {}; COMP_WORDS=(netns link show l); COMP_CWORD=3; _netns_names netns l show; echo ${{COMPREPLY[@]}}",
            script.display()
        );
        let offered = tests::run(inside.args(["netns", "exec", "yellow", "bash", "-c", &offer]));
        assert_eq!(offered, "lo\n");
        let fish = done(&mut xtask("completions fish")).out;
        assert!(
            fish.contains("__fish_seen_subcommand_from route; and __fish_seen_subcommand_from add"),
            "{fish}"
        );
    });
}

/// Those of each object's help are what the object takes: the kernel may refuse one, for what it names is not there.
#[test]
fn examples_of_ips_words_are_understood() {
    in_host(|_| {
        for command in [
            "netns add ns1",
            "link add br0 type bridge",
            "addr add 10.1.1.254/24 dev br0",
            "link set br0 up",
            "link add veth0 type veth peer name far",
        ] {
            ip(command);
        }
        let mut tried = 0;
        let mut left: Vec<String> = ["link", "addr", "route", "neigh", "netns", "tuntap", "bridge", "stats"]
            .map(String::from)
            .to_vec();
        while let Some(path) = left.pop() {
            let help = done(&mut xtask(&format!("{path} --help"))).out;
            let mut sections = help.split("\n\n");
            let commands = sections.clone().find_map(|part| part.trim_start().strip_prefix("Commands:\n"));
            for line in commands.into_iter().flat_map(str::lines) {
                let name = line.split_whitespace().next().unwrap_or_default();
                if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
                    left.push(format!("{path} {name}"));
                }
            }
            let examples = sections.find_map(|part| {
                part.strip_prefix("Example:\n").or_else(|| part.strip_prefix("Examples:\n"))
            });
            for example in examples.unwrap_or_else(|| panic!("{path}: no example in {help}")).lines() {
                let words = example.trim().strip_prefix("netns ").expect("netns");
                if words == "netns monitor" {
                    // It does not end.
                    continue;
                }
                let run = done(&mut xtask(words));
                assert!(matches!(run.code, Some(0 | 2)), "{example}: {:?} {}", run.code, run.err);
                tried += 1;
            }
        }
        assert!(tried > 50, "{tried}");
    });
}
