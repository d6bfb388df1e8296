//! `cargo xtask` has every command of `netns`, and its own beside them.

use std::process::{Command, Output};

fn xtask(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().expect("xtask starts")
}

#[test]
fn help_lists_the_commands_of_both() {
    let help = xtask(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && text.contains("Usage: cargo xtask "), "{text}");
    assert!(text.starts_with("Linux network namespaces"), "{text}");
    for command in ["run", "observe", "bench", "ebpf", "cross", "dist", "vm-test", "package", "api"] {
        let is_it =
            |line: &str| line.strip_prefix("  ").and_then(|line| line.split(' ').next()) == Some(command);
        assert!(text.lines().any(is_it), "{command}:\n{text}");
    }
}

#[test]
fn wrong_usage_of_either_is_1_and_named() {
    for arguments in [&["ebpf", "biuld"][..], &["netns", "lsx"], &["vm-test", "--arch", "vax"]] {
        let refused = xtask(arguments);
        let message = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{message}");
        // `ip`'s words are read without clap.
        let is_ips = arguments[0] == "netns" && message.contains("`netns lsx` is unknown");
        let is_claps = message.contains("Usage: cargo xtask ") || message.contains("For more information");
        assert!(is_ips || is_claps, "{message}");
    }
}
