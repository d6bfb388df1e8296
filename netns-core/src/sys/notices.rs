//! Notices that say that something was changed, and are not read further.

use super::abi::NlMsgHdr;
use super::deadline::Deadline;
use bytemuck::pod_read_unaligned;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// So many notices are taken at once. Where there are more, the next call goes on.
const MOST: usize = 4096;

/// Takes what there is, and whether any of it is of a change that was not asked for by the socket with the port id `except`.
/// Notices that came faster than they were read are a change too.
pub(crate) fn any(socket: BorrowedFd<'_>, except: Option<u32>) -> io::Result<bool> {
    let mut is_changed = false;
    if !super::poll::readable(socket, &mut Deadline::new(Duration::ZERO))? {
        return Ok(false);
    }
    for _ in 0..MOST {
        let mut header = [0; size_of::<NlMsgHdr>()];
        let received =
            super::retry(|| super::socket::receive_netlink(socket, &mut header, libc::MSG_DONTWAIT));
        match received {
            // A notice has the port id of the socket that asked for the change; of nftables, what is in one datagram is of one
            // batch (`nft_commit_notify` in <https://github.com/torvalds/linux/blob/v6.12/net/netfilter/nf_tables_api.c>).
            Ok(datagram) if datagram.sender == 0 => {
                let by = pod_read_unaligned::<NlMsgHdr>(&header).port;
                is_changed |= except != Some(by);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => is_changed = true,
            Err(error) => return Err(error),
        }
    }
    Ok(is_changed)
}
