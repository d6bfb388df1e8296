//! The file of a record: locked, appended to, replaced, removed.

use super::Line;
use super::twice::undo_twice;
use crate::error::{Cause, Operation, SystemCall};
use crate::{Error, Result, sys};
use std::fmt::Write as _;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The version of the format that this crate writes, and the only one that it reads.
pub const VERSION: u32 = 1;

const MAGIC: &str = "netns-record";
/// Differs from start to start of the machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// The folder is root's alone, but what is in it may be anybody's: a symbolic link is not followed, and a FIFO not waited for.
const NO_OTHER: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;
/// How many lines may be of no consequence before a record is worth being written anew.
const SLACK: usize = 64;

/// A record, locked for as long as this lives; see the [module](super) for what it promises.
///
/// ```
/// use netns_core::record::{Line, RecordFile};
///
/// # let folder = std::env::temp_dir().join(format!("netns-record-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("example.record");
/// let mut record = RecordFile::create(&path, "example")?;
/// record.append(&[Line::new("namespace").with("ns1").with(17)])?;
/// // ... make it ...
/// assert!(RecordFile::open(&path, "example").is_err(), "it is locked");
/// drop(record); // or killed
///
/// let record = RecordFile::open(&path, "example")?.expect("it is there");
/// assert_eq!(record.lines()[0].text(0), Some("ns1"));
/// // ... remove what it says ...
/// record.remove()?;
/// assert!(RecordFile::open(&path, "example")?.is_none());
/// # std::fs::remove_dir(&folder).unwrap();
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    kind: String,
    file: File,
    lines: Vec<Line>,
    /// The process that locked it.
    process: u32,
    /// How many bytes of the file count. What is after them is of a line that was never finished, or of another boot.
    length: u64,
}

impl RecordFile {
    /// Opens the record of this path, or begins one, and locks it. `kind` is a plain word that distinguishes this
    /// program's records from other programs'.
    ///
    /// # Errors
    /// `EWOULDBLOCK` if another process has it locked: [`Self::is_held`]. If it cannot be made or read, is of another
    /// version or kind, or makes no sense.
    pub fn create(path: impl Into<PathBuf>, kind: &str) -> Result<Self> {
        let path = path.into();
        loop {
            let opened = options().create(true).open(&path).map_err(failed(
                Operation::OpenRecord,
                &path,
                SystemCall::Open,
            ))?;
            if let Some(record) = Self::lock(&path, kind, opened)? {
                return Ok(record);
            }
        }
    }

    /// Opens a record and locks it; `None` if there is none.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn open(path: impl Into<PathBuf>, kind: &str) -> Result<Option<Self>> {
        let path = path.into();
        loop {
            let opened = match options().open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                other => other.map_err(failed(Operation::OpenRecord, &path, SystemCall::Open))?,
            };
            if let Some(record) = Self::lock(&path, kind, opened)? {
                return Ok(Some(record));
            }
        }
    }

    /// What a record says now, whether or not it is locked; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read, is no file (`ELOOP` of a symbolic link), is of another version or kind, or makes no sense.
    pub fn peek(path: impl AsRef<Path>, kind: &str) -> Result<Option<Vec<Line>>> {
        let path = path.as_ref();
        let failed = |call| failed(Operation::ReadRecord, path, call);
        let mut file = match OpenOptions::new().read(true).custom_flags(NO_OTHER).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed(SystemCall::Open))?,
        };
        if !file.metadata().map_err(failed(SystemCall::Fstat))?.is_file() {
            let object = path.display().to_string();
            return Err(Error::invalid(Operation::ReadRecord, object, "it is no file"));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed(SystemCall::Read))?;
        Ok(Some(parse(path, kind, &text)?.lines))
    }

    /// Whether the error is that a living process has the record locked.
    #[must_use]
    pub fn is_held(error: &Error) -> bool {
        error.errno() == Some(libc::EWOULDBLOCK)
    }

    /// `None` if the file is not the one of its path any more: the process that held the lock removed or replaced it
    /// before we got it. A record that nobody can find would be none.
    fn lock(path: &Path, kind: &str, file: File) -> Result<Option<Self>> {
        // One that was just begun and cannot be locked is not to be removed: somebody else may have locked it since.
        undo_twice(|| {
            let locked = sys::file::try_lock_exclusive(file.as_fd());
            locked.map_err(failed(Operation::LockRecord, path, SystemCall::Flock))
        })?;
        if !is_at(&file, path).map_err(failed(Operation::LookAtRecord, path, SystemCall::Fstat))? {
            return Ok(None);
        }
        match Self::read_locked(path, kind, &file) {
            Ok(Parsed { lines, length }) => {
                let (path, kind, process) = (path.to_owned(), kind.to_owned(), std::process::id());
                Ok(Some(Self { path, kind, file, lines, process, length }))
            }
            Err(error) => {
                // One that was begun just now, or that says nothing, is not to stay. A process that waits for its lock
                // looks whether it is still there.
                if file.metadata().is_ok_and(|now| now.is_file() && now.len() == 0) {
                    let _ = fs::remove_file(path);
                }
                Err(error)
            }
        }
    }

    /// What a record says that is locked.
    fn read_locked(path: &Path, kind: &str, mut file: &File) -> Result<Parsed> {
        // What was being written when its writer was killed. Only the holder of the lock writes there.
        remove_if_there(&successor(path)).map_err(failed(
            Operation::RemoveRecord,
            &successor(path),
            SystemCall::Unlink,
        ))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed(Operation::ReadRecord, path, SystemCall::Read))?;
        parse(path, kind, &text)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; nothing of one that was just begun, or that is of an earlier boot.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Adds lines, by one system call. They are there when this returns, as far as a kill is concerned; the machine's
    /// own end takes what they speak of with it, so nothing is flushed to a disk.
    ///
    /// # Errors
    /// If there is no space. Then it says what it said before.
    pub fn append(&mut self, lines: &[Line]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let text = text(if self.length == 0 { Some(&self.kind) } else { None }, lines);
        // A line that was never finished would become one with ours.
        let written = self.cut().and_then(|()| self.file.write_all(text.as_bytes()));
        if let Err(error) = written {
            // Shrinking needs no space. Should it fail nevertheless, the next attempt begins with it.
            let _ = self.cut();
            return Err(failed(Operation::WriteRecord, &self.path, SystemCall::Write)(error));
        }
        self.length += text.len() as u64;
        self.lines.extend_from_slice(lines);
        Ok(())
    }

    /// Replaces all lines, by one step that either happens or does not: a new file takes the place of the old one.
    ///
    /// # Errors
    /// If there is no space for the new file beside the old one. Then it says what it said before.
    pub fn replace(&mut self, lines: Vec<Line>) -> Result<()> {
        let new = successor(&self.path);
        let text = text(Some(&self.kind), &lines);
        match self.put_in_place(&new, &text) {
            Ok(file) => {
                // The old file, and with it its lock, is given up when the new one is locked and in its place.
                self.file = file;
                self.length = text.len() as u64;
                self.lines = lines;
                Ok(())
            }
            Err(error) => {
                let _ = remove_if_there(&new);
                Err(error)
            }
        }
    }

    fn put_in_place(&self, new: &Path, text: &str) -> Result<File> {
        let failed = |call| failed(Operation::WriteRecord, &self.path, call);
        remove_if_there(new).map_err(failed(SystemCall::Unlink))?;
        let mut file = options().create_new(true).open(new).map_err(failed(SystemCall::Open))?;
        sys::file::try_lock_exclusive(file.as_fd()).map_err(failed(SystemCall::Flock))?;
        file.write_all(text.as_bytes()).map_err(failed(SystemCall::Write))?;
        file.sync_all().map_err(failed(SystemCall::Other("fsync")))?;
        fs::rename(new, &self.path).map_err(failed(SystemCall::Other("rename")))?;
        Ok(file)
    }

    /// Whether so many of its lines are of no consequence that [`Self::replace`] pays, if `live` of them are.
    #[must_use]
    pub fn is_worth_compacting(&self, live: usize) -> bool {
        self.lines.len() > 2 * live + SLACK
    }

    /// Removes the record: nothing is left of what it says.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn remove(self) -> Result<()> {
        undo_twice(|| {
            let removed = remove_if_there(&self.path);
            removed.map_err(failed(Operation::RemoveRecord, &self.path, SystemCall::Unlink))
        })?;
        // Unlocked only now, when nobody can open it any more.
        drop(self);
        Ok(())
    }

    /// Cuts off what does not count.
    fn cut(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() != self.length {
            self.file.set_len(self.length)?;
        }
        Ok(())
    }
}

impl Drop for RecordFile {
    /// Gives up the lock at once, though a child that another thread has just forked holds the file open until it
    /// becomes another program. Such a child, for its part, leaves its parent's lock alone.
    fn drop(&mut self) {
        if self.process == std::process::id() {
            let _ = sys::file::unlock(self.file.as_fd());
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600).custom_flags(NO_OTHER);
    options
}

/// Where the next version of a record is written before it takes its place.
fn successor(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let inode = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let ours = file.metadata().map(inode)?;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        other => Ok(other.map(inode)? == ours),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What is known of this boot; empty where the kernel does not say.
fn boot() -> String {
    fs::read_to_string(BOOT).map(|id| id.trim_end().to_owned()).unwrap_or_default()
}

fn text(kind: Option<&str>, lines: &[Line]) -> String {
    let mut text = String::new();
    if let Some(kind) = kind {
        text = format!("{}\n", Line::new(MAGIC).with(VERSION).with(kind).with(boot()));
    }
    for line in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

struct Parsed {
    lines: Vec<Line>,
    /// How many bytes of the file they take, header included.
    length: u64,
}

/// Only lines that were written in full count: one that was being written when its writer was killed is about something
/// that was not made yet.
fn parse(path: &Path, kind: &str, bytes: &[u8]) -> Result<Parsed> {
    let nothing = Parsed { lines: Vec::new(), length: 0 };
    let refused = |why: String| {
        Error::new(Operation::ReadRecord, path.display().to_string(), Cause::Invalid(why.into()))
    };
    let finished = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let no_record = || refused("this is no record of this program".to_owned());
    let text = std::str::from_utf8(&bytes[..finished]).map_err(|_| no_record())?;
    let mut rows = text.lines();
    let Some(first) = rows.next() else {
        // Begun, and never written to; or the beginning of the first line.
        let start = format!("{MAGIC} ").into_bytes();
        let is_start = bytes.starts_with(&start) || start.starts_with(bytes);
        return if is_start { Ok(nothing) } else { Err(no_record()) };
    };
    let header: Line = first.parse().map_err(|()| no_record())?;
    if header.key() != MAGIC {
        return Err(no_record());
    }
    match header.parse::<u32>(0) {
        Some(VERSION) => {}
        Some(other) => {
            return Err(refused(format!(
                "its format is version {other}, and this program reads version {VERSION} only: remove what it speaks \
                 of with the program that wrote it"
            )));
        }
        None => return Err(no_record()),
    }
    if header.text(1) != Some(kind) {
        let whose = header.text(1).unwrap_or_default();
        return Err(refused(format!("it is a record of the kind {whose:?}, not {kind:?}")));
    }
    let (then, now) = (header.text(2).unwrap_or_default(), boot());
    if then != now && !then.is_empty() && !now.is_empty() {
        // What it speaks of went with that boot.
        return Ok(nothing);
    }
    let mut lines = Vec::new();
    for (number, row) in rows.enumerate() {
        let line = row.parse().map_err(|()| refused(format!("line {} makes no sense", number + 2)))?;
        lines.push(line);
    }
    Ok(Parsed { lines, length: finished as u64 })
}

fn failed(operation: Operation, path: &Path, call: SystemCall) -> impl FnOnce(io::Error) -> Error + use<> {
    Error::system(operation, path.display().to_string(), call)
}
