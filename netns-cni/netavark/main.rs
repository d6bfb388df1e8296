//! netavark's plugin interface, 1.0.0 (<https://github.com/containers/netavark/blob/main/plugin-API.md>). The CNI plugin's code,
//! `bridge` and `portmap` in one call, makes networks whose driver has this program's name.

mod attachment;
mod network;

use serde_json::{Value, json};
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

/// The message about a failure that podman shows its user.
type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (answer, code) = match answer(&arguments) {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(why) => (Some(json!({ "error": why })), ExitCode::FAILURE),
    };
    let Some(answer) = answer else { return code };
    match writeln!(stdout(), "{answer}") {
        Ok(()) => code,
        Err(error) => {
            let _ = writeln!(stderr(), "netns-netavark: write the answer to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(arguments: &[String]) -> Outcome<Option<Value>> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] | ["info"] => Ok(Some(json!({ "version": env!("CARGO_PKG_VERSION"), "api_version": "1.0.0" }))),
        ["create"] => network::create(read()?).map(Some),
        ["setup", netns] => attachment::set_up(netns, &read()?).map(Some),
        ["teardown", netns] => attachment::tear_down(netns, &read()?).map(|()| None),
        _ => Err(format!("not create, setup NETNS, teardown NETNS or info: {}", words.join(" "))),
    }
}

fn read() -> Outcome<Value> {
    let input = netns_cni::read_stdin().map_err(|error| format!("read stdin: {error}"))?;
    serde_json::from_slice(&input).map_err(|error| format!("stdin: {error}"))
}
