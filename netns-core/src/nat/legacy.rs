//! Whether iptables-legacy drops what the host forwards.

use crate::sys;
use std::fs;
use std::io;

/// What the kernel's structures have where, of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter_ipv4/ip_tables.h>,
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter_ipv6/ip6_tables.h> and
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/x_tables.h>.
struct LegacyLayout {
    family: libc::c_int,
    /// Of an entry.
    target_offset: usize,
    /// The names of the tables that there are; without one of this name, asking for it would make it.
    names: &'static str,
}

const V4: LegacyLayout =
    LegacyLayout { family: libc::AF_INET, target_offset: 88, names: "/proc/thread-self/net/ip_tables_names" };
const V6: LegacyLayout = LegacyLayout {
    family: libc::AF_INET6,
    target_offset: 140,
    names: "/proc/thread-self/net/ip6_tables_names",
};

/// In `struct ipt_getinfo`: the offsets of the policies, by hook, and the length of all entries.
const UNDERFLOWS: usize = 56;
const SIZE: usize = 80;
/// The verdict, of a standard target.
const VERDICT: usize = 32;
/// `-NF_DROP - 1`.
const DROPS: i32 = -1;
const FILTER: &str = "filter";
/// How often the table is read anew, if others change it at the same time.
const ATTEMPTS: u32 = 16;
/// Docker's chain for rules of others.
const DOCKER_USER: &[u8] = b"DOCKER-USER\0";

/// Whether the policy of the chain FORWARD is to drop, and if so, whether there is a chain DOCKER-USER. In the calling
/// thread's namespace.
pub(super) fn drops(is_ipv4: bool) -> io::Result<Option<bool>> {
    let layout = if is_ipv4 { V4 } else { V6 };
    // Otherwise the kernel has no such tables, or none that it shows.
    let Ok(names) = fs::read_to_string(layout.names) else { return Ok(None) };
    if names.lines().all(|name| name != FILTER) {
        return Ok(None);
    }
    let (forward, entries) = entries(layout.family)?;
    let policy = || {
        let entry = entries.get(forward..)?;
        let target: u16 =
            bytemuck::pod_read_unaligned(entry.get(layout.target_offset..layout.target_offset + 2)?);
        let verdict = usize::from(target) + VERDICT;
        Some(bytemuck::pod_read_unaligned::<i32>(entry.get(verdict..verdict + 4)?))
    };
    let has_chain = || entries.windows(DOCKER_USER.len()).any(|bytes| bytes == DOCKER_USER);
    Ok((policy() == Some(DROPS)).then(has_chain))
}

/// The entries of the table, and where among them the policy of FORWARD is.
fn entries(family: libc::c_int) -> io::Result<(usize, Vec<u8>)> {
    let mut attempt = 1;
    loop {
        let info = sys::iptables::info(family, FILTER)?;
        let number = |at: usize| info.get(at..at + 4).map(bytemuck::pod_read_unaligned::<u32>);
        let forward = number(UNDERFLOWS + 4 * libc::NF_INET_FORWARD as usize).unwrap_or(0) as usize;
        match sys::iptables::entries(family, FILTER, number(SIZE).unwrap_or(0)) {
            // Somebody has changed the table in between.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && attempt < ATTEMPTS => attempt += 1,
            other => return other.map(|entries| (forward, entries)),
        }
    }
}
