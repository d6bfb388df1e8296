use super::*;
use crate::cli::{self, Cli};
use clap::Parser;

fn paths(command: &Command, path: &str, all: &mut Vec<String>) {
    all.push(path.to_owned());
    for one in command.get_subcommands() {
        let name = one.get_name();
        paths(one, &if path.is_empty() { name.to_owned() } else { format!("{path} {name}") }, all);
    }
}

#[test]
fn every_command_has_one_and_no_other() {
    let mut all = Vec::new();
    paths(&cli::command(), "", &mut all);
    let with: Vec<&str> = EXAMPLES.iter().map(|(words, _)| *words).collect();
    assert_eq!(with.len(), with.iter().collect::<std::collections::BTreeSet<_>>().len());
    for path in &all {
        assert!(with.contains(&path.as_str()), "netns {path} has no example");
    }
    for path in with {
        assert!(all.iter().any(|known| known == path), "there is no netns {path}");
    }
}

/// Those of the objects of `ip` and `bridge` are run: `cli examples`.
#[test]
fn they_are_what_the_command_takes() {
    let mut things = Vec::new();
    for command in crate::net::help::commands() {
        things.push(command.get_name().to_owned());
    }
    for (path, examples) in EXAMPLES {
        for example in *examples {
            let words: Vec<&str> = example.split(' ').collect();
            let of_thing = words[1..].iter().any(|word| things.iter().any(|thing| thing == word));
            if !of_thing {
                assert!(Cli::try_parse_from(&words).is_ok(), "{example}");
            }
            assert!(path.is_empty() || example.contains(&format!(" {path}")), "{example}: {path}");
        }
    }
}

#[test]
fn help_and_long_help_have_them() {
    let mut command = cli::command();
    let link = command.find_subcommand_mut("link").unwrap();
    let add = link.find_subcommand_mut("add").unwrap();
    for help in [add.render_help(), add.render_long_help()] {
        let help = help.to_string();
        assert!(help.contains("Examples:\n  netns link add veth0 type veth"), "{help}");
        assert!(help.contains("Exit codes"), "{help}");
    }
}
