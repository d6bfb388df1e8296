//! Names that come and go: `ip netns monitor`.

use super::c_string;
use super::named::{FOLDER, make_folder};
use crate::error::{Cause, Operation, SystemCall};
use crate::sys;
use crate::sys::abi::InotifyEvent;
use crate::sys::deadline::Deadline;
use crate::{Error, Result};
use bytemuck::pod_read_unaligned;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// Room for many events: each has a header and a name of up to 256 bytes.
const CAPACITY: usize = 16 * 1024;

/// Something that happened to the named namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameEvent {
    /// A name was made. The namespace behind it is mounted a moment later.
    Added(String),
    /// A name was removed.
    Deleted(String),
    /// Some events are lost, since they came faster than they were read, or the folder was removed: list the names anew.
    Lost,
}

/// Watches the folder of named namespaces, which anybody may make and remove.
///
/// ```no_run
/// use netns_core::{NameEvent, Namespace, Watch};
/// use std::time::Duration;
///
/// let mut watch = Watch::open()?;
/// Namespace::create("ns1")?;
/// assert_eq!(watch.next(Duration::from_secs(1))?, Some(NameEvent::Added("ns1".to_owned())));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    ready: VecDeque<NameEvent>,
    /// Whether the folder was removed that was watched.
    folder_gone: bool,
}

impl Watch {
    /// Begins to watch. The folder is made if it is not there, as `ip netns monitor` does, and again if it is removed.
    ///
    /// # Errors
    /// If the folder cannot be made or watched.
    pub fn open() -> Result<Self> {
        let failed = |call| Error::system(Operation::WatchFolder, FOLDER, call);
        let inotify = sys::inotify::init().map_err(failed(SystemCall::InotifyInit))?;
        let watch = Self { inotify, ready: VecDeque::new(), folder_gone: false };
        watch.add()?;
        Ok(watch)
    }

    /// Watches the folder that there is now.
    fn add(&self) -> Result<()> {
        let failed = |call| Error::system(Operation::WatchFolder, FOLDER, call);
        make_folder().map_err(failed(SystemCall::Mkdir))?;
        let events = libc::IN_CREATE | libc::IN_DELETE;
        c_string(FOLDER)
            .and_then(|folder| sys::inotify::add_watch(self.inotify.as_fd(), &folder, events))
            .map_err(failed(SystemCall::InotifyAddWatch))
            .map(drop)
    }

    /// The next event; `None` if there is none within `limit`.
    ///
    /// # Errors
    /// If reading fails, or the folder was removed and cannot be made or watched again; then the next call tries again.
    pub fn next(&mut self, limit: Duration) -> Result<Option<NameEvent>> {
        let failed = |call| Error::system(Operation::WatchFolder, FOLDER, call);
        let mut deadline = Deadline::new(limit);
        loop {
            if self.folder_gone {
                self.add()?;
                self.folder_gone = false;
                self.ready.push_back(NameEvent::Lost);
            }
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if !sys::poll::readable(self.inotify.as_fd(), &mut deadline).map_err(failed(SystemCall::Poll))? {
                return Ok(None);
            }
            let mut buffer = [0; CAPACITY];
            match sys::retry(|| sys::inotify::read(self.inotify.as_fd(), &mut buffer)) {
                Ok(length) => self.parse(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    return Err(Error::new(
                        Operation::WatchFolder,
                        FOLDER,
                        Cause::System { call: SystemCall::Read, error },
                    ));
                }
            }
        }
    }

    fn parse(&mut self, mut bytes: &[u8]) {
        const HEADER: usize = size_of::<InotifyEvent>();
        while let Some(header) = bytes.get(..HEADER) {
            let header: InotifyEvent = pod_read_unaligned(header);
            let end = HEADER.saturating_add(header.length as usize);
            let name = bytes.get(HEADER..end).unwrap_or_default();
            bytes = bytes.get(end..).unwrap_or_default();
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            if header.mask & libc::IN_Q_OVERFLOW != 0 {
                self.ready.push_back(NameEvent::Lost);
            } else if header.mask & libc::IN_IGNORED != 0 {
                self.folder_gone = true;
            } else if header.mask & libc::IN_CREATE != 0 {
                self.ready.push_back(NameEvent::Added(name));
            } else if header.mask & libc::IN_DELETE != 0 {
                self.ready.push_back(NameEvent::Deleted(name));
            }
        }
    }
}

impl AsFd for Watch {
    /// Readable when there are events, for use in a poll loop of one's own.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// For what wants a number, such as tokio's `AsyncFd`; the descriptor stays this one's.
impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_raw_fd()
    }
}
