//! A namespace on the command line: its name, a process in it, or a path.

use netns_core::{ErrorKind, Namespace};

/// How the user named a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamespaceWord {
    /// A name, as in `ip netns`.
    Named(String),
    /// The pid of a process in it.
    Process(u32),
    /// A path, such as `/proc/PID/ns/net` or a container engine's mount.
    Path(String),
}

impl NamespaceWord {
    /// Understands a word, and opens what it stands for. A name that is there comes before a process of that number, as a
    /// person who gave a namespace a number for a name means that.
    pub(crate) fn open(word: &str) -> netns_core::Result<(Self, Namespace)> {
        if word.contains('/') {
            return Ok((Self::Path(word.to_owned()), Namespace::of_path(word)?));
        }
        match (Namespace::open(word), word.parse()) {
            (Err(error), Ok(pid)) if error.kind() == ErrorKind::NotFound => {
                Ok((Self::Process(pid), Namespace::of_pid(pid)?))
            }
            (namespace, _) => Ok((Self::Named(word.to_owned()), namespace?)),
        }
    }

    /// The name, if it was given by name: a name still leads there when the last process in it has ended.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Process(_) | Self::Path(_) => None,
        }
    }

    /// What to write before a command so that it runs in there.
    pub(crate) fn command(&self, word: impl Fn(&str) -> String) -> String {
        match self {
            Self::Named(name) => format!("ip netns exec {} ", word(name)),
            Self::Process(pid) => format!("nsenter -t {pid} -n "),
            Self::Path(path) => format!("nsenter --net={} ", word(path)),
        }
    }
}
