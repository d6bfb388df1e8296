//! The live view in a real terminal.

use crate::attack::judged;
use crate::state_of_the_host;
use netns_ebpf::packet::Reason;
use tests::{Terminal, eventually, in_host, ip, without_capabilities};

const XTASK: &str = env!("CARGO_BIN_EXE_netns");

/// The names of the ports, from top to bottom.
fn ports(screen: &str) -> Vec<&str> {
    screen
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|word| word.starts_with("veth-ns"))
        .collect()
}

/// Whether there is a sequence that sets a colour; 39 and 49 go back to the terminal's own.
fn has_colour(screen: &str) -> bool {
    let sequences = screen.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m'));
    let mut numbers = sequences.flat_map(|(numbers, _)| numbers.split(';'));
    numbers.any(|number| matches!(number.parse(), Ok(30..=38 | 40..=48 | 90..=97)))
}

#[test]
fn keys_sort_filter_pause_select_resize_and_quit() {
    in_host(|_| {
        let before = state_of_the_host();
        let terminal = Terminal::open();
        let command = format!("clear; {XTASK} run --namespaces 12 --interval 0.2; echo ended with $?");
        terminal.press(&[&command, "Enter"]);
        let screen = terminal
            .shows("twelve ports", |screen| screen.contains(" br0  12 ports") && ports(screen).len() == 12);
        assert!(terminal.is_taken());
        assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
        assert_eq!(screen.lines().count(), 24);
        // The first sends a stream: it is the fastest.
        terminal.shows("rates, the fastest first", |screen| {
            ports(screen)[0] == "veth-ns1" && screen.contains("▼bit/s") && screen.contains('█')
        });
        assert!(has_colour(&terminal.coloured()));

        terminal.press(&["1"]);
        let names: Vec<String> = (1..=12).map(|number| format!("veth-ns{number}")).collect();
        terminal.shows("sorted by name", |screen| ports(screen) == names && screen.contains("port▲"));
        terminal.press(&["r"]);
        terminal.shows("the other way round", |screen| ports(screen)[0] == "veth-ns12");
        terminal.press(&["Right"]);
        terminal.shows("the next column", |screen| {
            screen.contains("namespace▲") && ports(screen)[0] == "veth-ns1"
        });

        terminal.press(&["/", "n", "s", "1"]);
        terminal.shows("a filter being written", |screen| screen.contains("/ns1█"));
        terminal.press(&["Enter"]);
        let filtered = ["veth-ns1", "veth-ns10", "veth-ns11", "veth-ns12"];
        terminal.shows("the filter", |screen| screen.contains("4 of 12 ports") && ports(screen) == filtered);
        terminal.press(&["Escape"]);
        terminal.shows("no filter", |screen| ports(screen).len() == 12);

        terminal.press(&["Down", "Down", "Enter"]);
        for text in
            [" veth-ns3 ─", "addresses 10.1.1.3", "behind    namespace ns3", "ns2 -> ns3", "on a wire"]
        {
            terminal.shows(text, |screen| screen.contains(text));
        }
        terminal.press(&["m"]);
        terminal.shows("the pairs", |screen| screen.contains("sender by line") && screen.contains("\nhost"));
        // Not at once, which would be Alt and a question mark.
        terminal.press(&["Escape"]);
        terminal.shows("no pane", |screen| !screen.contains("sender by line"));
        terminal.press(&["?"]);
        terminal
            .shows("help", |screen| screen.contains("┌ keys ─") && screen.contains("the other way round"));
        terminal.press(&["x"]);

        terminal.press(&["p"]);
        // The terminal may show half of what is drawn, so all of the help has to be gone.
        let is_paused = |screen: &str| screen.contains("PAUSED") && !screen.contains(['┌', '└']);
        let paused = terminal.shows("a pause", is_paused);
        std::thread::sleep(std::time::Duration::from_millis(600));
        assert_eq!(terminal.screen(), paused, "it stands still");
        terminal.press(&["p"]);
        terminal.shows("it goes on", |screen| !screen.contains("PAUSED") && screen != paused);

        terminal.resize(60, 12);
        terminal.shows("a small terminal", |screen| screen.lines().count() == 12 && ports(screen).len() == 8);
        terminal.press(&["G"]);
        terminal.shows("the last port", |screen| ports(screen).last() == Some(&"veth-ns12"));
        terminal.resize(120, 40);
        terminal.shows("a large one", |screen| ports(screen).len() == 12 && screen.lines().count() == 40);
        terminal.press(&["q"]);
        let screen = terminal.shows("the end", |screen| screen.contains("ended with"));
        for text in ["ended with 0", "equal to the kernel's on all 12 ports", "left      nothing"] {
            assert!(screen.contains(text), "{text:?} is not in\n{screen}");
        }
        terminal.assert_given_back();
        drop(terminal);
        std::fs::remove_file("/run/tmux").ok();
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn violations_have_a_column_a_pane_and_reasons_by_port() {
    in_host(|_| {
        let terminal = Terminal::open();
        let command =
            format!("clear; {XTASK} run --namespaces 3 --attack --interval 0.2; echo ended with $?");
        terminal.press(&[&command, "Enter"]);
        terminal
            .shows("who is attacking", |screen| screen.contains("violations") && ports(screen).len() == 3);
        terminal.press(&["9"]);
        let screen = terminal.shows("sorted by violations", |screen| screen.contains("▼viol"));
        assert_eq!(ports(&screen)[0], "veth-ns1");
        terminal.press(&["v"]);
        for text in ["the latest frames that may not be sent", "group", "passed", "ns1"] {
            terminal.shows(text, |screen| screen.contains(text));
        }
        terminal.press(&["Enter"]);
        for text in ["may send  its own addresses", "the rest is counted and passes"] {
            terminal.shows(text, |screen| screen.contains(text));
        }
        // Each was sent: as many as there is room for, two a line, and then how many more there are.
        let shown = |screen: &str| {
            let (_, pane) = screen.split_once(" veth-ns1 ─")?;
            let words: Vec<&str> = pane.split_whitespace().collect();
            // "host" is a reason, and also an end of pairs.
            let is_counted = |words: &&[&str]| Reason::from_name(words[0]).is_some() && words[1] == "1";
            let reasons = words.windows(2).filter(is_counted).count();
            let others = words.windows(3).find_map(|words| match words {
                ["and", others, "more"] => others.parse().ok(),
                _ => None,
            });
            Some((reasons, others.unwrap_or(0), pane.matches(" -> ").count()))
        };
        // Nothing gets around the program there, and no port is closed.
        let all = judged().count();
        terminal.shows("eleven reasons, and three pairs", |screen| shown(screen) == Some((11, all - 11, 3)));
        // With a line over time for each.
        terminal.resize(80, 120);
        let screen = terminal.shows("all reasons", |screen| {
            shown(screen).is_some_and(|(reasons, others, _)| (reasons, others) == (all, 0))
        });
        let is_one = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().take(2).collect();
            matches!(words[..], [reason, "1"] if Reason::from_name(reason).is_some())
        };
        assert_eq!(screen.lines().filter(is_one).count(), all, "{screen}");
        terminal.press(&["q"]);
        let screen = terminal.shows("the end", |screen| screen.contains("ended with"));
        assert!(screen.contains("attack    as it should be"), "{screen}");
        terminal.assert_given_back();
    });
}

#[test]
fn without_root_the_view_shows_the_kernels_counters() {
    in_host(|_| {
        let terminal = without_capabilities(Terminal::open);
        let command = format!("clear; {XTASK} run --interval 0.2; echo ended with $?");
        terminal.press(&[&command, "Enter"]);
        let screen = terminal.shows("rates", |screen| ports(screen).len() == 2 && screen.contains('█'));
        assert!(screen.lines().any(|line| line.starts_with("veth-ns1") && line.contains(" - ")), "{screen}");
        terminal.press(&["q"]);
        let screen = terminal.shows("the end", |screen| screen.contains("ended with"));
        assert!(screen.contains("ended with 0") && screen.contains("the kernel's"), "{screen}");
        terminal.assert_given_back();
    });
}

#[test]
fn a_screenshot_is_a_picture_of_the_view() {
    in_host(|_| {
        let arguments = "run --isolated --attack --duration 1 --interval 0.2 --screenshot /run/view.svg";
        let run = crate::done(&mut crate::xtask(arguments));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
        let picture = std::fs::read_to_string("/run/view.svg").unwrap();
        for text in ["<svg ", "2 ports", "veth-ns1", "sender by line", " violations", "</svg>"] {
            assert!(picture.contains(text), "{text:?} is not in it");
        }
    });
}

#[test]
fn a_closed_terminal_ends_the_view_and_nothing_is_left() {
    in_host(|_| {
        ip("link add br1 type bridge");
        ip("link add v1 type veth peer name v2");
        ip("link set v1 master br1");
        let before = state_of_the_host();
        for (arguments, title) in [("observe br1", " br1  1 port "), ("run", " br0  2 ports ")] {
            let terminal = Terminal::open();
            terminal.press(&[&format!("clear; {XTASK} {arguments} --interval 0.1"), "Enter"]);
            terminal.shows("the view", |screen| screen.contains(title));
            assert_ne!(state_of_the_host(), before);
            let command = format!("/proc/{}/cmdline", terminal.child());
            terminal.hang_up();
            // A process that was not waited for has an empty command line.
            eventually("it ends", || std::fs::read(&command).map_or(true, |command| command.is_empty()));
            let _ = std::fs::remove_file("/run/tmux");
            assert_eq!(state_of_the_host(), before, "{arguments}");
        }
    });
}

#[test]
fn a_signal_ctrl_c_and_a_deleted_bridge_restore_the_terminal() {
    in_host(|_| {
        let terminal = Terminal::open();
        for way in ["C-c", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "gone"] {
            ip("link add br0 type bridge");
            ip("link add v1 type veth peer name v2");
            ip("link set v1 master br0");
            let command = format!("clear; NO_COLOR=1 {XTASK} observe br0 --interval 0.1; echo ended with $?");
            terminal.press(&[&command, "Enter"]);
            terminal.shows("the port", |screen| screen.contains(" br0  1 port ") && screen.contains("\nv1 "));
            assert!(!has_colour(&terminal.coloured()));
            match way {
                "C-c" => terminal.press(&["C-c"]),
                "gone" => drop(ip("link del br0")),
                signal => {
                    let child = terminal.child().to_string();
                    tests::signal(signal, &child);
                }
            }
            let screen = terminal.shows("the end", |screen| screen.contains("ended with"));
            assert!(screen.contains("ended with 0"), "{way}: {screen}");
            assert_eq!(screen.contains("the bridge is gone"), way == "gone", "{screen}");
            terminal.assert_given_back();
            ip("link del v1");
            if way != "gone" {
                ip("link del br0");
            }
        }
    });
}
