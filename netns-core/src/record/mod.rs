//! What is ours on this machine, by identity.
//!
//! A process that makes something which can outlive it (a named namespace, a link on the host, a filter on somebody
//! else's port, a setting) writes it down before it makes it, so that after a kill at any moment all of it is found
//! again; and it writes down an *identity*, so that a later thing of the same name is not taken for ours:
//!
//! | of | identity |
//! | --- | --- |
//! | a namespace | its cookie (`SO_NETNS_COOKIE`, Linux 5.14), which the kernel gives once a boot; before 5.14 a random number that we leave in it: [`NamespaceIdentity`] |
//! | a link | its MAC address, which we choose at random, and its index where we choose that too: [`RecordedLink`] |
//! | a filter | the id of its program, which the kernel does not give again while a filter holds it; and our name |
//! | a barrier | its table's name, which ends with 64 random bits: [`RecordedBarrier`] |
//! | a qdisc | that there was none on this link before, and that none but our filters is in it |
//! | a setting | the value before and the value written: [`RecordedSysctl`]. One that is neither was set by somebody else. One that several need is claimed by each: [`SharedSetting`] |
//!
//! What differs from the record is reported ([`Removal::Left`]) and left alone.
//!
//! # The file
//!
//! A [`RecordFile`] is a text file of lines, each a key and words: see [`Line`]. Its first line is `netns-record`, the
//! [`VERSION`], the kind of record, and the boot that it was written in: after the next start of the machine nothing
//! is left of what it says. Another version is refused with a sentence.
//!
//! It is locked (`flock`) for as long as a [`RecordFile`] lives, so that a record whose process lives is distinguished from one
//! whose process was killed. Lines are appended by one `write` each; an unfinished last line is about something that was
//! not made yet. [`RecordFile::replace`] writes a new file and renames it, so that there is the old record or the new
//! one after a kill at any system call and on a full disk. Removing never needs space.
//!
//! # Threads and forks
//!
//! Everything here can be sent to and shared with other threads. The lock belongs to the open file, so a forked child
//! that does not call `exec` keeps the record locked until it ends, even if its parent is killed.
#![forbid(unsafe_code)]

mod file;
mod folder;
mod identity;
mod line;
mod removal;
mod remove;
mod shared;
mod twice;

pub use file::{RecordFile, VERSION};
pub use folder::make_folder;
pub use identity::{
    Found, NamespaceIdentity, RecordedBarrier, RecordedFolder, RecordedForwarding, RecordedLink,
    RecordedNamespace, RecordedSysctl,
};
pub use line::Line;
pub use removal::Removal;
pub use remove::remove_links;
pub use shared::{SettingBefore, SharedSetting};
pub use twice::undo_twice;

#[cfg(test)]
mod tests;
