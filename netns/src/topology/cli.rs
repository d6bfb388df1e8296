//! The arguments of `up`, `down`, `labs`, `logs`, `show`, `diff` and `watch`.

use crate::watch::arguments::interval;
use clap::{Args, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

/// The exit codes of `up`.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 fine, 1 wrong usage, an error in the file (named with line and \
     column), or something in the way, and nothing was changed; 2 the kernel refused, or a command of the file \
     ended with an error at once, and what was done is undone.";
/// The same for `down`.
pub(crate) const DOWN_EXIT_CODES: &str = "Exit codes: 0 nothing of it is left, whether or not it was up; 1 wrong usage, \
     or neither the file nor a topology of it is there; 2 the kernel refused, and what is left is on record: `down` \
     goes on.";
/// The same for `diff`.
pub(crate) const DIFF_EXIT_CODES: &str = "Exit codes: 0 `up` would change nothing; 1 it would change what is listed, \
     or, with a message on stderr, it would refuse; 2 the kernel does not say.";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct UpArguments {
    /// The topology file; netns-topology/FILE.md documents it, examples/ has some.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Do not print the changes.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LabsArguments {
    /// As a JSON array.
    #[arg(short, long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// The topology file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The namespace that they run in [default: all].
    pub(crate) namespace: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = DIFF_EXIT_CODES)]
pub(crate) struct DiffArguments {
    /// The topology file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// As a JSON array of lines.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The same for `watch`.
pub(crate) const WATCH_EXIT_CODES: &str = "It ends when the topology is taken down, or by a signal. Exit codes: 0 nothing \
     was taken away; 1 wrong usage, or the topology is not up; 2 something was taken away, or cannot be put back.";

#[derive(Debug, Args)]
#[command(after_help = WATCH_EXIT_CODES)]
pub(crate) struct WatchLabArguments {
    /// The topology file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// As JSON, one line per loss.
    #[arg(long)]
    pub(crate) json: bool,
    /// How long to wait between two checks of what the kernel does not report, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = interval, default_value = "1", allow_negative_numbers = true)]
    pub(crate) interval: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The topology file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// As a graph for Graphviz: `| dot -Tpng`.
    #[arg(long, conflicts_with_all = ["svg", "json"])]
    pub(crate) dot: bool,
    /// As an SVG picture.
    #[arg(long, conflicts_with = "json")]
    pub(crate) svg: bool,
    /// As one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
