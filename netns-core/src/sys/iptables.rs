//! The tables of iptables-legacy, which no dump of nftables shows.

use super::check;
use super::socket::socket;
use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd;

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`, of IPv6 likewise:
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter_ipv4/ip_tables.h>.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;

/// Fills a buffer that begins with what is asked for; how much of it the kernel says that it filled.
fn get(family: libc::c_int, name: libc::c_int, buffer: &mut [u8]) -> io::Result<usize> {
    let level = if family == libc::AF_INET { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
    let socket = socket(family, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
    let mut length = buffer.len() as libc::socklen_t;
    // SAFETY: pointer and length are those of `buffer`, any bytes of which the kernel may write; both outlive the call.
    check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, buffer.as_mut_ptr().cast(), &raw mut length)
    })?;
    Ok((length as usize).min(buffer.len()))
}

/// `struct ipt_getinfo` of a table, in the calling thread's network namespace. It needs `CAP_NET_ADMIN`.
pub(crate) fn info(family: libc::c_int, table: &str) -> io::Result<[u8; 84]> {
    let mut info = [0; 84];
    info[..table.len().min(31)].copy_from_slice(&table.as_bytes()[..table.len().min(31)]);
    get(family, GET_INFO, &mut info)?;
    Ok(info)
}

/// `struct ipt_get_entries`, up to its entries. These have counters of 64 bits, which not every machine aligns to 8 bytes.
#[repr(C)]
struct GetEntries {
    name: [u8; 32],
    size: u32,
    entries: [u64; 0],
}

const _: () = assert!(offset_of!(GetEntries, entries) == if align_of::<u64>() == 8 { 40 } else { 36 });

/// The entries of a table, which have `size` bytes by [`info`]; `EAGAIN` if that has changed.
pub(crate) fn entries(family: libc::c_int, table: &str, size: u32) -> io::Result<Vec<u8>> {
    const HEADER: usize = offset_of!(GetEntries, entries);
    const SIZE: usize = offset_of!(GetEntries, size);
    let mut buffer = vec![0; HEADER + size as usize];
    buffer[..table.len().min(31)].copy_from_slice(&table.as_bytes()[..table.len().min(31)]);
    buffer[SIZE..SIZE + 4].copy_from_slice(&size.to_ne_bytes());
    get(family, GET_ENTRIES, &mut buffer)?;
    Ok(buffer.split_off(HEADER))
}
