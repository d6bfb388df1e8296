//! The objects that a command line can be about.

/// The object that a command line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thing {
    Link,
    Addr,
    Route,
    Neigh,
    Netns,
    Tuntap,
    Bridge,
    Stats,
}

impl Thing {
    pub(super) const ALL: [Self; 8] = [
        Self::Netns,
        Self::Link,
        Self::Addr,
        Self::Route,
        Self::Neigh,
        Self::Bridge,
        Self::Tuntap,
        Self::Stats,
    ];

    /// The name of its command.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Addr => "addr",
            Self::Route => "route",
            Self::Neigh => "neigh",
            Self::Netns => "netns",
            Self::Tuntap => "tuntap",
            Self::Bridge => "bridge",
            Self::Stats => "stats",
        }
    }
}
