//! What was tried, to match on, with the words that people read.

use std::fmt;

/// Declares an enumeration of things that have words for people.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $( $variant:ident $words:literal; )* } with { $( $(#[$other:meta])* $extra:ident($type:ty), )* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $( #[doc = concat!("\"", $words, "\"")] $variant, )*
            $( $(#[$other])* $extra($type), )*
        }

        impl $name {
            /// The words of those that are always the same.
            const fn fixed(self) -> Option<&'static str> {
                match self {
                    $( Self::$variant => Some($words), )*
                    $( Self::$extra(_) => None, )*
                }
            }
        }
    };
}

named! {
    /// What was tried. Displayed, it reads as the beginning of a sentence that the object ends: "create veth", "delete
    /// namespace".
    Operation {
        SetLink "set link";
        SetBridgePort "set bridge port";
        DeleteLink "delete link";
        GetLink "get link";
        ListLinks "list links";
        AddAddress "add address";
        DeleteAddress "delete address";
        GetAddress "get address";
        ListAddresses "list addresses";
        AddRoute "add route";
        DeleteRoute "delete route";
        GetRoute "get route";
        ListRoutes "list routes";
        AddNeighbour "add neighbour";
        DeleteNeighbour "delete neighbour";
        GetNeighbour "get neighbour";
        ListNeighbours "list neighbours";
        AddQdisc "add qdisc";
        DeleteQdisc "delete qdisc";
        GetQdisc "get qdisc";
        ListQdiscs "list qdiscs";
        AddFilter "add filter";
        DeleteFilter "delete filter";
        GetFilter "get filter";
        ListFilters "list filters";
        GetNamespaceId "get namespace id";
        AssignNamespaceId "assign namespace id";
        ListNamespaceIds "list namespace ids";
        WaitForLink "wait for link";
        AttachToTap "attach to tap";
        SetTap "set tap";
        OpenRouteSocket "open route socket";
        OpenNftablesSocket "open nftables socket";
        ChangeNftables "change nftables";
        GetGeneration "get the generation of rules";
        CreateTable "create table";
        DeleteTable "delete table";
        ListTables "list tables";
        CreateChain "create chain";
        AddRule "add rule";
        DeleteRule "delete rule";
        ListRules "list rules";
        ListChains "list chains";
        DeleteSet "delete set";
        CreateSet "create set";
        AddElements "add elements";
        RemoveElements "remove elements";
        ListElements "list elements";
        ListConnections "list connections";
        ForgetConnection "forget connection";
        MakeNat "make the way out of";
        PublishPort "publish";
        UnpublishPort "withdraw";
        LookAtChains "look at the chains of forwarded packets";
        MakeBarrier "make a barrier behind ports";
        SendRequests "send netlink requests";
        FindSocketNamespace "get the namespace of";
        IdentifySocketNamespace "identify the namespace of";
        ListenToEvents "listen to link events";
        WaitForEvents "wait for link events";
        ReceiveEvents "receive link events";
        ListenToRules "listen to changes of rules";
        ReceiveRuleNotices "receive changes of rules";
        UseRoute "use route";
        UseAddress "use address";
        ReadAddress "read address";
        ReadMacAddress "read MAC address";
        UseInterfaceName "use interface name";
        CreateNamespace "create namespace";
        OpenNamespace "open namespace";
        EnterNamespace "enter namespace";
        IdentifyNamespace "identify namespace";
        DuplicateNamespace "duplicate namespace";
        UseAsNamespace "use as namespace";
        NameNamespace "name namespace";
        DeleteNamespace "delete namespace";
        FindNamespace "find namespace";
        ListNamespaces "list namespaces";
        PrepareFolder "prepare";
        LookAtFolder "look at";
        RestoreFolder "restore";
        WatchFolder "watch";
        CreateUserNamespace "create user namespace";
        FindUserNamespace "find out the user namespace";
        MapUsers "write";
        ReadCapabilities "read capabilities";
        PrepareView "prepare the view of";
        BindFile "bind";
        RunCommand "run command";
        WaitForCommand "wait for command";
        ListProcesses "list processes";
        ReadSysctl "read sysctl";
        WriteSysctl "write sysctl";
        ListInterfaces "list interfaces of";
        Ping "ping";
        Announce "announce";
        OpenRecord "open record";
        ReadRecord "read record";
        LockRecord "lock record";
        WriteRecord "write record";
        RemoveRecord "remove record";
        LookAtRecord "look at record";
        PlanNetwork "plan network";
        CreateNetwork "create network";
        OpenNetwork "open network";
        RemoveNetwork "remove network";
        ReadBarriers "read the barriers of";
        ListNetworks "list networks in";
        MakeFolder "make folder";
        UseSubnet "use subnet";
        DistrustRouters "switch off accept_ra of";
        ListenToPorts "listen to ports that go";
        WaitForPorts "wait for ports to go";
        WaitForPort "wait for port";
        CreateSandbox "create sandbox";
        DeleteSandboxes "delete sandboxes of";
        ReclaimSandboxes "reclaim sandboxes of";
        StartPool "start pool";
        AcquireSandbox "acquire a sandbox of";
    }
    with {
        /// "create" and the name of a kind of links: "create veth".
        CreateLink(&'static str),
        /// A netlink request of this number, for which there is no other variant.
        Netlink(u16),
        /// What something else than this crate tried, in its words: a [`PortProgram`](crate::network::PortProgram), say.
        Other(&'static str),
    }
}

impl Operation {
    /// Whether it begins with the name of the system call, which then says nothing new.
    pub(super) fn begins_with(self, call: SystemCall) -> bool {
        let words = self.to_string();
        let rest = call.fixed().and_then(|call| words.strip_prefix(call));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateLink(kind) => write!(formatter, "create {kind}"),
            Self::Netlink(number) => write!(formatter, "netlink request {number}"),
            Self::Other(words) => formatter.pad(words),
            fixed => formatter.pad(fixed.fixed().unwrap_or_default()),
        }
    }
}

/// For operations that are not this crate's: [`Operation::Other`].
impl From<&'static str> for Operation {
    fn from(words: &'static str) -> Self {
        Self::Other(words)
    }
}

named! {
    /// A system call that failed.
    SystemCall {
        Open "open";
        Stat "stat";
        Fstat "fstat";
        Unshare "unshare";
        Setns "setns";
        SetnsBack "setns to the present one";
        Fcntl "fcntl";
        Exec "exec";
        Wait "wait";
        Mount "mount";
        Umount "umount";
        Fsopen "fsopen";
        Mknod "mknod";
        Mkdir "mkdir";
        Rmdir "rmdir";
        Unlink "unlink";
        Flock "flock";
        Readdir "readdir";
        Read "read";
        Write "write";
        Poll "poll";
        Send "send";
        Recvmsg "recvmsg";
        Recvmmsg "recvmmsg";
        Socket "socket";
        Setsockopt "setsockopt";
        GetsockoptCookie "getsockopt(SO_NETNS_COOKIE)";
        IoctlNamespace "ioctl(SIOCGSKNS)";
        InotifyInit "inotify_init1";
        InotifyAddWatch "inotify_add_watch";
        Pipe "pipe";
        Clone "clone";
        Connect "connect";
        Bind "bind";
        WriteSysctl "write sysctl";
    }
    with {
        /// Another one, by its name.
        Other(&'static str),
    }
}

impl SystemCall {
    /// The capability that the kernel asks for before it does this, whatever it is done for.
    pub(super) const fn capability(self) -> Option<&'static str> {
        match self {
            Self::Fsopen | Self::Mount | Self::Setns | Self::SetnsBack | Self::Umount | Self::Unshare => {
                Some("CAP_SYS_ADMIN")
            }
            _ => None,
        }
    }
}

impl fmt::Display for SystemCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(words) => formatter.pad(words),
            fixed => formatter.pad(fixed.fixed().unwrap_or_default()),
        }
    }
}
