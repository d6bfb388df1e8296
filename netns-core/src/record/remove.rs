//! Removing what is on record, and nothing else.

use super::identity::{Found, RecordedLink};
use super::removal::Removal;
use super::twice::undo_twice;
use crate::link::{self, Link, LinkChange};
use crate::wire::Batch;
use crate::{Result, RouteSocket};
use std::hash::{BuildHasher, Hasher, RandomState};

/// So many requests fit into a batch with room to spare.
const BATCH: usize = 64;
/// `ip link` names groups by small numbers; ours are above those.
const GROUPS: u32 = 1 << 30;

/// Removes those of these links that are still there; what became of each, in their order. Of a veth pair both ends go
/// with one, and the other end counts as removed too.
///
/// Many are deleted by one request, since the kernel takes as long for one link as for a hundred that go together:
/// those that are proven ours are put into a group of their own, whose number is chosen at random just before, and the
/// group is deleted.
///
/// # Errors
/// If the kernel refuses.
pub fn remove_links(socket: &mut RouteSocket, recorded: &[RecordedLink]) -> Result<Vec<Removal>> {
    if recorded.is_empty() {
        return Ok(Vec::new());
    }
    let links = undo_twice(|| link::list(socket))?;
    let found: Vec<Found> = recorded.iter().map(|link| link.find_in(&links)).collect();
    let mut ours: Vec<u32> = found
        .iter()
        .filter_map(|found| if let Found::Ours(link) = found { Some(link.index) } else { None })
        .collect();
    ours.sort_unstable();
    ours.dedup();
    match ours[..] {
        [] => {}
        [one] => undo_twice(|| gone(link::delete(socket, one)))?,
        _ => {
            let group = unused_group(&links);
            let change = LinkChange { group: Some(group), ..LinkChange::NONE };
            for some in ours.chunks(BATCH) {
                // One that went meanwhile is refused, and the others are changed all the same.
                undo_twice(|| {
                    let mut batch = Batch::new();
                    for &index in some {
                        link::encode_set(&mut batch, index, &change);
                    }
                    gone(socket.execute(&mut batch))
                })?;
            }
            undo_twice(|| gone(link::delete_group(socket, group)))?;
            // One that the kernel would not move is deleted by itself, or the refusal is reported.
            for link in undo_twice(|| link::list(socket))? {
                if recorded.iter().any(|ours| ours.is(&link)) {
                    undo_twice(|| gone(link::delete(socket, link.index)))?;
                }
            }
        }
    }
    Ok(found
        .into_iter()
        .map(|found| match found {
            Found::Ours(_) => Removal::Removed,
            Found::Gone => Removal::Gone,
            Found::Other(why) => Removal::Left(why),
        })
        .collect())
}

/// A group that no link is in and that nobody will think of.
fn unused_group(links: &[Link]) -> u32 {
    loop {
        let random = RandomState::new().build_hasher().finish() as u32;
        // The kernel keeps groups as `int`.
        let group = GROUPS | (random & (GROUPS - 1));
        if links.iter().all(|link| link.group != group) {
            return group;
        }
    }
}

fn gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.errno() != Some(libc::ENODEV) => Err(error),
        _ => Ok(()),
    }
}
