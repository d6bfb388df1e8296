//! The way around the hooks of a port: by an `ifb` device inside.

use netns_core::nftables::{
    Base, Chain, Comparison, Expressions, Family, MetaKey, NftSocket, Register, Table, Transaction, chain,
    rule, table,
};
use netns_core::wire::{Batch, IfInfoMsg, TcMsg};
use netns_core::{IfName, Namespace, Result, RouteSocket, link, tc};

/// The names of what is made inside.
const IFB: &str = "around0";
const TABLE: Table<'static> = Table { family: Family::Netdev, name: "around" };

/// What a link in a namespace sends goes around the ingress hook of its other end, until this is ended or the namespace
/// is gone. Everything that it takes root of a user namespace may do in a network namespace of its own; no program of
/// eBPF is needed, and no tool.
///
/// nftables' egress chain of the link forwards each frame to an `ifb` device. That hands it back to the link, marked as
/// classified already (`tc_skip_classify`, `ifb_ri_tasklet` in
/// <https://github.com/torvalds/linux/blob/v6.18/drivers/net/ifb.c>), which holds at the other end of the cable too:
/// packet taps, `clsact`, TCX and netdev chains there never see it.
#[derive(Debug)]
pub struct Around {
    namespace: Namespace,
    socket: RouteSocket,
    nft: NftSocket,
    ifb: u32,
}

impl Around {
    /// Leads frames around, from now on. What is made is in the namespace alone.
    ///
    /// # Errors
    /// What the kernel refused: [`netns_core::ErrorKind::Unsupported`] if it has no `ifb`, or no chains at egress (Linux 5.16). Nothing is left
    /// then.
    pub fn begin(namespace: &Namespace, link: IfName) -> Result<Self> {
        Self::begin_with(namespace, link, None)
    }

    /// As [`Self::begin`], for frames with this mark only ([`FrameSocket::set_mark`](super::FrameSocket::set_mark)). What the
    /// namespace's kernel sends by itself, such as a question for a neighbour, does not go around then, so that it is known how
    /// many frames did.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn begin_marked(namespace: &Namespace, link: IfName, mark: u32) -> Result<Self> {
        Self::begin_with(namespace, link, Some(mark))
    }

    fn begin_with(namespace: &Namespace, link: IfName, mark: Option<u32>) -> Result<Self> {
        let namespace = namespace.try_clone()?;
        let mut socket = RouteSocket::open_in(&namespace)?;
        let nft = NftSocket::open_in(&namespace)?;
        let mut batch = Batch::new();
        let up = libc::IFF_UP as u32;
        let header = IfInfoMsg { flags: up, change: up, ..IfInfoMsg::default() };
        batch.message(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &header, |attributes| {
            attributes.text(libc::IFLA_IFNAME, IFB);
            attributes.nest(libc::IFLA_LINKINFO, |info| info.text(libc::IFLA_INFO_KIND, "ifb"));
        });
        socket.execute(&mut batch)?;
        let ifb = link::get(&mut socket, IfName::new(IFB)?)?.index;
        let mut around = Self { namespace, socket, nft, ifb };
        match around.forward(link, mark) {
            Ok(()) => Ok(around),
            Err(error) => {
                around.end()?;
                Err(error)
            }
        }
    }

    fn forward(&mut self, link: IfName, mark: Option<u32>) -> Result<()> {
        let egress = Chain { table: TABLE, name: "egress", base: Some(Base::egress(link, 0)) };
        let mut transaction = Transaction::new();
        table::encode_create(&mut transaction, TABLE);
        chain::encode_create(&mut transaction, &egress);
        let ifb = self.ifb.to_ne_bytes();
        rule::encode_append(&mut transaction, &egress, |rule: &mut Expressions<'_, '_>| {
            if let Some(mark) = mark {
                rule.meta(MetaKey::Mark, Register::One);
                rule.compare(Register::One, Comparison::Equal, &mark.to_ne_bytes());
            }
            rule.load(Register::One, &ifb);
            rule.forward(Register::One);
        });
        self.nft.commit(&mut transaction)
    }

    /// Writes a sender's slot into each frame on its way (`tc_index`, by a classic BPF filter that classifies): what a
    /// [`Network`](netns_core::network::Network) with several bridges knew a sender by.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn forge(&mut self, slot: u16) -> Result<()> {
        // `struct sock_filter`: return all of the frame.
        const RETURN: [u8; 8] = [6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        tc::add_clsact(&mut self.socket, self.ifb)?;
        let mut batch = Batch::new();
        let protocol = u32::from((libc::ETH_P_ALL as u16).to_be());
        let header = TcMsg {
            index: self.ifb,
            parent: 0xFFFF_0000 | 0xFFF3,
            info: 1 << 16 | protocol,
            ..TcMsg::default()
        };
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        batch.message(libc::RTM_NEWTFILTER, flags, &header, |attributes| {
            attributes.text(libc::TCA_KIND, "bpf");
            attributes.nest(libc::TCA_OPTIONS, |options| {
                options.value(TCA_BPF_CLASSID, 1 << 16 | u32::from(slot));
                options.value(TCA_BPF_OPS_LEN, 1_u16);
                options.bytes(TCA_BPF_OPS, &RETURN);
            });
        });
        self.socket.execute(&mut batch)
    }

    /// Ends it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn end(mut self) -> Result<()> {
        let table = table::delete(&mut self.nft, TABLE);
        let link = link::delete(&mut self.socket, self.ifb);
        match table {
            // It was never made.
            Err(error) if error.errno() == Some(libc::ENOENT) => link,
            other => other.and(link),
        }
    }

    /// The namespace that it is in.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/pkt_cls.h>
const TCA_BPF_CLASSID: u16 = 3;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;
