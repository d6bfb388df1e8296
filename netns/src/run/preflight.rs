//! What a run needs of the machine, checked before anything is made.

use crate::cli::RunArguments;
use crate::failure::Failure;
use crate::rights;
use netns_core::bridge::{self, Bridge};
use netns_core::veth::{self, Veth};
use netns_core::{
    ErrorKind, IfName, MacAddress, Namespace, RouteSocket, become_root_of_user_namespace,
    is_in_initial_user_namespace, missing_capabilities,
};

/// The rights with which a run works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// Those of the machine's own root.
    Root,
    /// Those of the root of a user namespace that this process has just entered, with a host network of its own. It was an
    /// ordinary user before.
    Nobody,
    /// The same, but it was root of a user namespace already, to which its network and `/run` need not belong.
    RootOfUserNamespace,
}

impl Privilege {
    /// Where the run takes place, if the machine's root does not run it.
    pub(crate) const fn place(self) -> Option<&'static str> {
        match self {
            Self::Root => None,
            Self::RootOfUserNamespace => Some("root of a user namespace: in a host network of its own"),
            Self::Nobody => Some("not root: in a user namespace and a host network of its own"),
        }
    }
}

/// Checks whether this process has the rights for a run; if not, makes it root of a user namespace.
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

/// Checks whether the kernel has what a run needs, by trying it in a namespace that is thrown away with its socket.
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

/// What a refusal means: the kernel was built without the feature if it does not know the request. `unshare` then returns
/// `EINVAL` (`copy_net_ns` in <https://github.com/torvalds/linux/blob/v6.12/include/net/net_namespace.h>), a request for a
/// link of an unknown kind `EOPNOTSUPP`. With any other error the feature may be there, refused for another reason.
fn missing(what: &'static str) -> impl FnOnce(netns_core::Error) -> Failure {
    move |error| match error.kind() {
        ErrorKind::Unsupported | ErrorKind::Invalid => {
            Failure::usage(format!("this kernel has no {what}: {error}"))
        }
        _ => error.into(),
    }
}
