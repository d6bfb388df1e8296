//! The words of `ip`: on the command line they are the flags of the commands that `ip` and `bridge` have too.

use super::cli::PORT;
use super::option::named;
use netns_core::bridge::PortOptions;
use netns_core::link::LinkKind;
use netns_core::option::{OptionRow, Options};
use std::ffi::OsString;

const COMMANDS: [&str; 9] =
    ["link", "addr", "address", "route", "neigh", "neighbour", "bridge", "stats", "tuntap"];

/// `ip` takes its options before the object (`ip -n NS -j link show`); they go behind everything, where ours are too.
fn options_last(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = arguments.into_iter().collect();
    let mut end = 1;
    while let Some(word) = all.get(end).and_then(|word| word.to_str()) {
        end += match word {
            "-n" | "--netns" => 2,
            "-j" | "--json" | "-d" | "--details" => 1,
            _ => break,
        };
    }
    let object = all.get(end).and_then(|object| object.to_str());
    let is_list = object == Some("netns") && all.get(end + 1).is_some_and(|command| command == "list");
    if is_list || object.is_some_and(|object| COMMANDS.contains(&object)) {
        all[1..].rotate_left(end - 1);
    }
    all
}

/// The words of `ip` that are flags here: `addr add 10.1.1.1/24 dev eth0` reads as with `--dev eth0`. Only behind the
/// names of these commands; as with `ip`, an interface of such a name has to be written otherwise (`--dev=dev`).
///
/// What follows `type KIND` are options of that kind: `type vlan id 10` reads as `--type vlan --option id=10`.
pub(crate) fn with_keywords(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    let (mut ours, mut after_peer, mut fdb) = (false, false, false);
    let (mut link, mut add, mut port, mut tuntap) = (false, false, false, false);
    let mut rows: &[OptionRow] = &[];
    let mut arguments = options_last(arguments).into_iter().enumerate().peekable();
    while let Some((position, argument)) = arguments.next() {
        let is = |word: &str| argument.to_str() == Some(word);
        ours |= position == 1 && argument.to_str().is_some_and(|command| COMMANDS.contains(&command));
        link |= position == 1 && is("link");
        tuntap |= position == 1 && is("tuntap");
        add |= link && position == 2 && is("add");
        fdb |= ours && position == 2 && is("fdb");
        port |= ours && !link && position == 2 && is("link");
        let word = argument.to_str().filter(|_| ours && position > 2).unwrap_or_default();
        if let Some((row, value)) = named(rows, word) {
            let value = value.map(OsString::from).or_else(|| arguments.next().map(|(_, value)| value));
            let mut setting = OsString::from(format!("{}=", row.name));
            setting.push(value.unwrap_or_default());
            out.extend(["--option".into(), setting]);
            continue;
        }
        let flag = match word {
            "type" if link => {
                let kind = arguments.peek().and_then(|(_, kind)| kind.to_str()).unwrap_or_default();
                rows = match kind {
                    PORT => PortOptions::ROWS,
                    kind => LinkKind::named(kind).map_or(&[], |kind| kind.rows()),
                };
                "--type"
            }
            "peer" => {
                after_peer = true;
                continue;
            }
            "name" if after_peer => "--peer",
            // `link add link eth0 name eth0.10 type vlan id 10`.
            "name" if add => continue,
            "name" => "--rename",
            "link" if add => "--link",
            "netns" => "--into",
            // Words that say what is so anyway.
            "static" | "permanent" => continue,
            "dev" if link || tuntap => continue,
            "mode" | "user" | "group" | "pi" | "vnet_hdr" | "multi_queue" if tuntap => {
                out.push(format!("--{word}").into());
                continue;
            }
            "master" if fdb => continue,
            "dev" | "via" | "metric" | "lladdr" | "master" | "nomaster" | "mtu" | "address" | "type"
            | "up" | "down" | "br" => {
                out.push(format!("--{word}").into());
                continue;
            }
            _ if port && PortOptions::ROWS.iter().any(|row| row.name == word) => {
                out.push(format!("--{word}").into());
                continue;
            }
            _ => {
                out.push(argument);
                continue;
            }
        };
        out.push(flag.into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::with_keywords;
    use std::ffi::OsString;

    fn read(line: &str) -> String {
        let words = with_keywords(line.split(' ').map(OsString::from));
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_of_ip_are_flags_behind_commands_of_ip() {
        for (given, read_as) in [
            ("x addr add 10.0.0.1/8 dev a", "x addr add 10.0.0.1/8 --dev a"),
            ("x link add a type veth peer name b netns n", "x link add a --type veth --peer b --into n"),
            ("x link set a name b up", "x link set a --rename b --up"),
            ("x link set dev a up", "x link set a --up"),
            ("x tuntap add dev t mode tap vnet_hdr", "x tuntap add t --mode tap --vnet_hdr"),
            (
                "x link add link a name a.5 type vlan id 5 protocol 802.1ad",
                "x link add --link a a.5 --type vlan --option id=5 --option protocol=802.1ad",
            ),
            (
                "x link add v type vxlan id 5 dev a nolearning remote 10.0.0.1",
                "x link add v --type vxlan --option id=5 --option dev=a --option learning=off --option group=10.0.0.1",
            ),
            (
                "x link set a type bridge_slave isolated on cost 7",
                "x link set a --type bridge_slave --option isolated=on --option cost=7",
            ),
            (
                "x bridge link set dev a state 3 mcast_router 2",
                "x bridge link set --dev a --state 3 --mcast_router 2",
            ),
            ("x netns exec dev up", "x netns exec dev up"),
            ("x -n ns1 -j link set a up", "x link set a --up -n ns1 -j"),
            ("x --json netns list", "x netns list --json"),
            ("x -n ns1", "x -n ns1"),
            ("x -n", "x -n"),
            (
                "x bridge fdb add 02:00:00:00:00:01 dev a master static",
                "x bridge fdb add 02:00:00:00:00:01 --dev a",
            ),
        ] {
            assert_eq!(read(given), read_as);
        }
    }
}
