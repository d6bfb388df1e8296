//! `netns sysctl`: settings of a namespace.

use crate::failure::Failure;
use crate::output::stdout;
use clap::Args;
use netns_core::{Namespace, sysctl};
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 fine, 1 wrong usage, 2 the kernel refused.")]
pub(crate) struct SysctlArguments {
    /// The named namespace [default: this one].
    #[arg(short = 'n', long, value_name = "NS")]
    netns: Option<String>,
    /// No effect; accepted because `sysctl` has it.
    #[arg(short, long)]
    write: bool,
    /// Do not print what is written.
    #[arg(short, long)]
    quiet: bool,
    /// A setting to read, or SETTING=VALUE to write. Write a dot in a link's name as a slash:
    /// net.ipv4.conf.eth0/5.forwarding.
    #[arg(required = true, value_name = "KEY[=VALUE]")]
    settings: Vec<String>,
}

pub(crate) fn sysctl(arguments: &SysctlArguments) -> Result<ExitCode, Failure> {
    let namespace = match &arguments.netns {
        Some(name) => Namespace::open(name)?,
        None => Namespace::current()?,
    };
    let mut out = stdout();
    for setting in &arguments.settings {
        let (key, value) = match setting.split_once('=') {
            Some((key, value)) => (key.trim_end(), Some(value.trim_start())),
            None => (setting.as_str(), None),
        };
        let path = path(key);
        let value = match value {
            Some(value) => {
                sysctl::set(&namespace, &path, value)?;
                value.to_owned()
            }
            None => sysctl::get(&namespace, &path)?,
        };
        if !(arguments.quiet && setting.contains('=')) {
            // As `sysctl` prints it.
            writeln!(out, "{key} = {value}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The path below /proc/sys, as `sysctl` forms it: in a key separated by dots, slashes stand for dots in names.
fn path(key: &str) -> String {
    let turn = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    match key.find(['.', '/']) {
        Some(at) if key[at..].starts_with('.') => key.chars().map(turn).collect(),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn dots_and_slashes_are_sysctls() {
        for (key, expected) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/5.forwarding", "net/ipv4/conf/eth0.5/forwarding"),
            ("net/ipv4/conf/eth0.5/forwarding", "net/ipv4/conf/eth0.5/forwarding"),
            ("net", "net"),
        ] {
            assert_eq!(path(key), expected);
        }
    }
}
