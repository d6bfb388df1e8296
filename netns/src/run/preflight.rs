//! What a run needs of the machine, asked before anything is made.

use crate::cli::RunArguments;
use crate::failure::Failure;
use crate::rights;
use netns_core::bridge::{self, Bridge};
use netns_core::veth::{self, Veth};
use netns_core::{
    ErrorKind, IfName, MacAddress, Namespace, RouteSocket, become_root_of_user_namespace,
    is_in_initial_user_namespace, missing_capabilities,
};

/// By what right a run does what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// The machine's own.
    Root,
    /// That of the root of a user namespace that this process is in from now on, over a host network of its own. It was
    /// nobody in particular before,
    Nobody,
    /// or root of a user namespace already, which the network that it was in, and `/run`, need not belong to.
    RootOfUserNamespace,
}

impl Privilege {
    /// Where a run is that is not the machine's root's.
    pub(crate) const fn place(self) -> Option<&'static str> {
        match self {
            Self::Root => None,
            Self::RootOfUserNamespace => Some("root of a user namespace: in a host network of its own"),
            Self::Nobody => Some("not root: in a user namespace and a host network of its own"),
        }
    }
}

/// Whether this process may do what a run does; if not, makes it root of a user namespace.
pub(crate) fn privilege(arguments: &RunArguments) -> Result<Privilege, Failure> {
    let missing = missing_capabilities()?;
    let is_initial = is_in_initial_user_namespace()?;
    if missing.is_empty() && is_initial {
        return Ok(Privilege::Root);
    }
    let take = if missing.is_empty() {
        "takes the machine's own root".to_owned()
    } else {
        rights::takes("run", &missing)
    };
    if arguments.keep {
        return Err(Failure::usage(format!("--keep {take}")));
    }
    become_root_of_user_namespace()
        .map_err(|error| Failure::usage(format!("this {take}; {}", rights::no_user_namespace(&error))))?;
    Ok(if missing.is_empty() { Privilege::RootOfUserNamespace } else { Privilege::Nobody })
}

/// Whether the kernel has what a run needs, by trying it in a namespace that is thrown away with the socket in it.
pub(crate) fn check_kernel() -> Result<RouteSocket, Failure> {
    let namespace = Namespace::anonymous().map_err(missing("network namespaces (CONFIG_NET_NS)"))?;
    let mut socket = RouteSocket::open_in(&namespace)?;
    let bridge = Bridge { index: Some(2), ..Bridge::new(IfName::new("probe")?, MacAddress::local(0)) };
    bridge::create(&mut socket, &bridge).map_err(missing("bridges (CONFIG_BRIDGE)"))?;
    let pair = Veth {
        index: Some(3),
        peer_index: Some(4),
        bridge: Some(2),
        ..Veth::new(IfName::new("a")?, IfName::new("b")?)
    };
    veth::create(&mut socket, &pair).map_err(missing("veth pairs (CONFIG_VETH)"))?;
    Ok(socket)
}

/// What it means that the kernel refuses: that it was built without it, if it takes the request for unknown. `unshare` says
/// `EINVAL` then (`copy_net_ns` in <https://github.com/torvalds/linux/blob/v6.12/include/net/net_namespace.h>), a request
/// for a link of an unknown kind `EOPNOTSUPP`. Anything else may be there and is refused for another reason.
fn missing(what: &'static str) -> impl FnOnce(netns_core::Error) -> Failure {
    move |error| match error.kind() {
        ErrorKind::Unsupported | ErrorKind::Invalid => {
            Failure::usage(format!("this kernel has no {what}: {error}"))
        }
        _ => error.into(),
    }
}
