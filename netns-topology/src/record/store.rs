//! Where records are, locked, read and written.

use super::{FOLDER, Record, earlier};
use crate::error::{Error, Result};
use netns_core::record::{Line, RecordFile, SharedSetting, make_folder};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const KIND: &str = "topology";

/// Where the record of a topology is kept.
#[derive(Debug)]
pub(crate) struct Store {
    /// The record, from when it was first written to; one that a process holds, from the beginning. It is dropped before the
    /// folder: a process that waits for the folder's lock takes the record's next, and does not wait for that.
    record: RefCell<Option<RecordFile>>,
    /// The folder of records, locked for as long as this is held: only one topology is changed at a time. The lock goes with
    /// the process, even by SIGKILL. `None` of a record that a process holds by itself, or that there is not.
    folder: Option<File>,
    /// Where the record is that a process holds.
    held: Option<PathBuf>,
}

impl Store {
    /// A record that this process holds, and nobody else changes meanwhile.
    pub(crate) fn held(record: RecordFile) -> Self {
        let held = Some(record.path().to_owned());
        Self { folder: None, record: RefCell::new(Some(record)), held }
    }

    /// No record: what is made goes with this process, and namespaces get no names.
    pub(crate) const fn nowhere() -> Self {
        Self { folder: None, record: RefCell::new(None), held: None }
    }

    /// Whether there is no record.
    pub(crate) const fn is_nowhere(&self) -> bool {
        self.folder.is_none() && self.held.is_none()
    }

    /// Whether it is of a topology file, which may start commands.
    pub(crate) const fn is_of_file(&self) -> bool {
        self.folder.is_some()
    }

    /// The path under which settings that others may need are claimed.
    pub(crate) fn claimant(&self, record: &Record) -> PathBuf {
        self.held.clone().unwrap_or_else(|| Self::path(&record.file))
    }

    /// Waits for the lock; makes the folder if it is not there.
    pub(crate) fn lock() -> Result<Self> {
        let failed = || Error::system(format!("lock {FOLDER}"));
        loop {
            make_folder(FOLDER)?;
            let opened = match File::open(FOLDER).and_then(|folder| folder.lock().map(|()| folder)) {
                // Its last user removed it; or a signal came while we waited.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Interrupted) =>
                {
                    continue;
                }
                // It is not to stay if we made it; those that wait for its lock make it anew.
                other => other.inspect_err(|_| drop(fs::remove_dir(FOLDER))),
            };
            let folder = opened.map_err(failed())?;
            // While we waited, its last user may have removed it.
            let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            let locked = folder.metadata().map(inode).map_err(failed())?;
            if fs::metadata(FOLDER).is_ok_and(|now| inode(now) == locked) {
                return Ok(Self { folder: Some(folder), record: RefCell::new(None), held: None });
            }
        }
    }

    /// The record of a file; `None` if its topology is not up.
    pub(crate) fn read(file: &Path) -> Result<Option<Record>> {
        let record = match read_at(&Self::path(file))? {
            None => earlier::read(&Self::mark(file))?,
            record => record,
        };
        // We were killed between giving the record its new name and writing it anew.
        Ok(record.map(|record| record.moved_to(file)))
    }

    /// Where the record of a file is kept that was moved since its topology was brought up: by the path that it had then. It
    /// is the one whose file is gone and said the same; `None` if there is none, or could be several.
    pub(crate) fn moved_from(text: &str) -> Result<Option<PathBuf>> {
        let is_it = |record: &Record| {
            let is_gone = fs::symlink_metadata(&record.file)
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            is_gone && record.applied.as_deref() == Some(text) && Self::path(&record.file).exists()
        };
        let mut found = Self::all()?.into_iter().flatten().filter(is_it);
        Ok(found.next().filter(|_| found.next().is_none()).map(|record| record.file))
    }

    /// Lets the record of a file that was moved be that of its present path.
    #[expect(clippy::unused_self, reason = "only the holder of the lock may write")]
    pub(crate) fn follow(&self, before: &Path, now: &Path) -> Result<()> {
        let rename = |from: PathBuf, to: PathBuf| {
            gone(fs::rename(&from, to)).map_err(Error::system(format!("rename {}", from.display())))
        };
        // The record last: until then all is found by the path before.
        rename(Self::output(before), Self::output(now))?;
        rename(Self::exits(before), Self::exits(now))?;
        rename(Self::path(before), Self::path(now))?;
        Ok(SharedSetting::rename_claimant(&Self::path(before), &Self::path(now))?)
    }

    /// Every record there is, by the paths of their files, and what cannot be read of them.
    pub(crate) fn all() -> Result<Vec<Result<Record>>> {
        let failed = || Error::system(format!("read {FOLDER}"));
        let entries = match fs::read_dir(FOLDER) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed())?,
        };
        let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut paths = paths.map_err(failed())?;
        paths.sort_unstable();
        let read = |path: &PathBuf| match path.extension().and_then(OsStr::to_str) {
            Some("record") => read_at(path).transpose(),
            // The same topology may have a record of the present format, which counts then.
            Some("json") => match read_at(&path.with_extension("record")) {
                Ok(None) => earlier::read(path).transpose(),
                _ => None,
            },
            _ => None,
        };
        Ok(paths.iter().filter_map(read).collect())
    }

    /// Whether there is a record of this file, readable or not.
    pub(crate) fn has(file: &Path) -> bool {
        Self::path(file).exists() || Self::mark(file).exists()
    }

    /// Replaces a record, by one step that either happens or does not. One that would say the same is left as it is.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        if self.is_nowhere() {
            return Ok(());
        }
        let mut open = self.record.borrow_mut();
        let file = match &mut *open {
            Some(file) => file,
            none => none.insert(RecordFile::create(Self::path(&record.file), KIND)?),
        };
        let (lines, is_new) = (record.lines(), file.lines().is_empty());
        let written = match (file.lines() == lines, is_new) {
            (true, _) => Ok(()),
            // Nobody can have read half of what said nothing before.
            (false, true) => file.append(&lines),
            (false, false) => file.replace(lines),
        };
        if let Err(error) = written {
            if is_new && self.is_of_file() {
                open.take().map_or(Ok(()), RecordFile::remove)?;
            }
            return Err(error.into());
        }
        if is_new && self.is_of_file() {
            // From here on this one counts.
            gone(fs::remove_file(Self::mark(&record.file)))
                .map_err(Error::system(format!("remove {}", Self::mark(&record.file).display())))?;
        }
        Ok(())
    }

    /// Adds a line to a record that was written before.
    pub(crate) fn append(&self, line: Line) -> Result<()> {
        match &mut *self.record.borrow_mut() {
            Some(file) => Ok(file.append(&[line])?),
            None => Ok(()),
        }
    }

    /// Removes a record, the output of its commands, and the folder if that was the last.
    pub(crate) fn remove(self, record: &Record) -> Result<()> {
        let open = self.record.take();
        if self.is_of_file() {
            let failed = || Error::system(format!("remove {}", Self::path(&record.file).display()));
            for folder in [Self::output(&record.file), Self::exits(&record.file)] {
                gone(fs::remove_dir_all(folder)).map_err(failed())?;
            }
            let open = match open {
                None => RecordFile::open(Self::path(&record.file), KIND)?,
                open => open,
            };
            open.map_or(Ok(()), RecordFile::remove)?;
            gone(fs::remove_file(Self::mark(&record.file))).map_err(failed())?;
            self.tidy();
            return Ok(());
        }
        Ok(open.map_or(Ok(()), RecordFile::remove)?)
    }

    /// Removes what says nothing: a record that was begun by somebody who was killed before it said anything, or that an
    /// earlier boot wrote. And the folder, if that is empty then.
    pub(crate) fn tidy_up(self, file: &Path) -> Result<()> {
        // Only its holder can open it.
        drop(self.record.take());
        if let Some(record) =
            RecordFile::open(Self::path(file), KIND)?.filter(|record| record.lines().is_empty())
        {
            record.remove()?;
        }
        self.tidy();
        Ok(())
    }

    /// Removes the folder if it is empty.
    pub(crate) fn tidy(self) {
        if let Some(folder) = self.folder {
            // Others may have their records in it.
            let _ = fs::remove_dir(FOLDER).or_else(|_| fs::remove_dir(FOLDER));
            drop(folder);
        }
    }

    /// The record of a file: its name for people, and a hash of its full path to distinguish it from others of that
    /// name.
    pub(crate) fn path(file: &Path) -> PathBuf {
        Self::mark(file).with_extension("record")
    }

    /// What the commands of a file are known by: the path of the record that version 0.1.0 kept, so that commands which
    /// that started are known too.
    pub(crate) fn mark(file: &Path) -> PathBuf {
        let stem: String = file.file_stem().unwrap_or_default().to_string_lossy().chars().take(64).collect();
        let hash = fnv1a(file.as_os_str().as_encoded_bytes());
        Path::new(FOLDER).join(format!("{stem}-{hash:016x}.json"))
    }

    /// The folder of what the commands of a file wrote.
    pub(crate) fn output(file: &Path) -> PathBuf {
        Self::path(file).with_extension("output")
    }

    /// The folder of how they ended.
    pub(crate) fn exits(file: &Path) -> PathBuf {
        Self::path(file).with_extension("exits")
    }

    /// The file of how one ended.
    pub(crate) fn exit(file: &Path, namespace: &str, command: &str) -> PathBuf {
        let hash = fnv1a(&[namespace.as_bytes(), command.as_bytes()].join(&0));
        Self::exits(file).join(format!("{hash:016x}"))
    }
}

/// The record at this path; `None` if there is none, or it says nothing.
fn read_at(path: &Path) -> Result<Option<Record>> {
    let lines = RecordFile::peek(path, KIND)?.unwrap_or_default();
    Record::of_lines(&lines).map_err(|why| {
        let error = io::Error::new(io::ErrorKind::InvalidData, why);
        Error::system(format!("read record {}", path.display()))(error)
    })
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// FNV-1a, <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>: the standard library's hash may differ from
/// release to release.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
