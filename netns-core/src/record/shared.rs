//! Settings that several programs need at once, as `ip_forward` of a host: the last of them puts it back.

use super::identity::restore_forwarding;
use super::{Line, NamespaceIdentity, RecordFile, RecordedSysctl, Removal};
use crate::sysctl::{self, GlobalForwarding};
use crate::{ErrorKind, Namespace, Result};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const PATH: &str = "/run/netns-settings.record";
const KIND: &str = "settings";
/// How long others may lock the record: they write a few lines or a setting meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(1);

/// A setting of a namespace that is not ours, which we need, and others may need too.
///
/// A program that needs a setting claims it, under the path of its own record; a claim counts for as long as there is a file
/// of that path, so that a program that was killed keeps its claim until its record is cleaned up. The claims of all, and what each
/// setting was before the first, are in a record of their own, `/run/netns-settings.record`, which is locked while a
/// setting is claimed or released, and goes with the last claim. Another process, thread or fork waits for that lock.
#[derive(Debug, Clone, Copy)]
pub struct SharedSetting<'a> {
    /// The namespace.
    pub namespace: &'a Namespace,
    /// The setting's name, with `/`.
    pub name: &'a str,
    /// The record of the program that needs it.
    pub claimant: &'a Path,
}

/// What a setting was before somebody claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingBefore {
    /// Its value, words divided by one blank.
    pub value: String,
    /// Of `ip_forward` and IPv6's `conf/all/forwarding`, if it was off: the interfaces that forwarded nevertheless.
    pub interfaces: Option<Vec<String>>,
}

/// What the record says.
#[derive(Debug, Default)]
struct Claims {
    settings: Vec<(Key, SettingBefore)>,
    /// Each with the claimant and the value that it needs.
    claims: Vec<(Key, PathBuf, String)>,
}

/// A setting of a namespace.
#[derive(Debug, Clone)]
struct Key(NamespaceIdentity, String);

impl SharedSetting<'_> {
    /// What it was before the first claim; what it is, if nobody has claimed it.
    ///
    /// # Errors
    /// If the setting or the record cannot be read.
    pub fn before(&self) -> Result<SettingBefore> {
        let (key, claims) = (self.key()?, Claims::peek()?);
        claims.before(&key).cloned().map_or_else(|| self.now(), Ok)
    }

    /// The value that somebody else needs; `None` if nobody does.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub fn needed_by_others(&self) -> Result<Option<String>> {
        Ok(Claims::peek()?.of_others(&self.key()?, self.claimant).map(str::to_owned))
    }

    /// Claims it, and sets it if it is not so. What it was before is to be on the claimant's record already:
    /// [`Self::before`].
    ///
    /// # Errors
    /// If it cannot be set, or the claim cannot be written.
    pub fn claim(&self, value: &str) -> Result<()> {
        if let Err(error) = sysctl::get(self.namespace, self.name)
            && error.kind() == ErrorKind::NotFound
        {
            // There is nothing to claim, and the kernel says so.
            return sysctl::set(self.namespace, self.name, value);
        }
        let key = self.key()?;
        let mut record = locked(RecordFile::create)?;
        let mut claims = Claims::read(record.lines());
        let has = claims
            .claims
            .iter()
            .any(|(other, claimant, needed)| other.is(&key) && claimant == self.claimant && needed == value);
        if !has {
            claims.drop_claim(&key, self.claimant);
            if claims.before(&key).is_none() {
                claims.settings.push((key.clone(), self.now()?));
            }
            claims.claims.push((key, self.claimant.to_owned(), value.to_owned()));
            if let Err(error) = record.replace(claims.lines()) {
                // Begun by us, it says nothing.
                if record.lines().is_empty() {
                    record.remove()?;
                }
                return Err(error);
            }
        }
        if self.now()?.value != words(value) {
            sysctl::set(self.namespace, self.name, value)?;
        }
        Ok(())
    }

    /// Gives the claim up. If nobody else needs the setting, it becomes what it was before; else what another needs. If it is
    /// not what was `written` any more, somebody has set it since, and it stays. Without a claim it does the same.
    ///
    /// What it was before the first claim is on the record of claims. What the caller has found `before` counts only where that
    /// says nothing: two callers may have looked at once, and one of them at what the other has set.
    ///
    /// # Errors
    /// If the setting cannot be written; then the claim stays.
    pub fn release(&self, before: &SettingBefore, written: &str) -> Result<Removal> {
        let key = self.key()?;
        let mut record = locked(RecordFile::open)?;
        let claims = record.as_ref().map(|record| Claims::read(record.lines())).unwrap_or_default();
        let others = claims.of_others(&key, self.claimant).map(str::to_owned);
        let before = claims.before(&key).unwrap_or(before);
        let removal = match (others, &before.interfaces) {
            (Some(value), _) => self.put_back(&value, written)?,
            (None, Some(interfaces)) => match GlobalForwarding::of(self.name) {
                Some(global) => self.switch_off(global, interfaces, &claims, &key)?,
                None => self.put_back(&before.value, written)?,
            },
            (None, None) => self.put_back(&before.value, written)?,
        };
        record.take().map_or(Ok(()), |record| self.drop_claim(record, claims, &key))?;
        Ok(removal)
    }

    /// Gives the claim up, if there is one, and leaves the setting as it is: it was so before.
    ///
    /// # Errors
    /// If the record cannot be removed.
    pub fn withdraw(&self) -> Result<()> {
        let Some(record) = locked(RecordFile::open)? else { return Ok(()) };
        let claims = Claims::read(record.lines());
        self.drop_claim(record, claims, &self.key()?)
    }

    fn drop_claim(&self, mut record: RecordFile, mut claims: Claims, key: &Key) -> Result<()> {
        claims.drop_claim(key, self.claimant);
        let lines = claims.lines();
        if lines.is_empty() {
            return record.remove();
        }
        if record.lines() != lines {
            // Where there is no space, the claim stays, and counts for nothing once its claimant's record is gone.
            let _ = record.replace(lines);
        }
        Ok(())
    }

    /// Lets its claims be those of another record, which has been renamed.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn rename_claimant(from: &Path, to: &Path) -> Result<()> {
        let Some(mut record) = locked(RecordFile::open)? else { return Ok(()) };
        let mut claims = Claims::read(record.lines());
        for (_, claimant, _) in claims.claims.iter_mut().filter(|(_, claimant, _)| claimant == from) {
            to.clone_into(claimant);
        }
        let lines = claims.lines();
        if record.lines() == lines { Ok(()) } else { record.replace(lines) }
    }

    /// Removes the record of claims if none of them counts any more: one that could not be taken out, for want of space, does not
    /// once its claimant's record is gone.
    ///
    /// # Errors
    /// If the record cannot be removed.
    pub fn tidy() -> Result<()> {
        match locked(RecordFile::open)? {
            Some(record) if Claims::read(record.lines()).lines().is_empty() => record.remove(),
            _ => Ok(()),
        }
    }

    /// Switches forwarding off as a whole, which switches it off for each interface, too: on again where it was on before, or
    /// where it is claimed for the interface by itself.
    fn switch_off(
        &self,
        global: GlobalForwarding,
        interfaces: &[String],
        claims: &Claims,
        key: &Key,
    ) -> Result<Removal> {
        let removal = restore_forwarding(self.namespace, global, interfaces)?;
        if removal == Removal::Removed {
            for (Key(namespace, name), _, value) in &claims.claims {
                if namespace.is(&key.0) && global.changes(name) {
                    match sysctl::set(self.namespace, name, value) {
                        Err(error) if error.errno() != Some(libc::ENOENT) => return Err(error),
                        _ => {}
                    }
                }
            }
        }
        Ok(removal)
    }

    fn put_back(&self, value: &str, written: &str) -> Result<Removal> {
        let (name, before, written) = (self.name.to_owned(), value.to_owned(), written.to_owned());
        RecordedSysctl { name, before, written }.restore(self.namespace)
    }

    fn now(&self) -> Result<SettingBefore> {
        let value = words(&sysctl::get(self.namespace, self.name)?);
        let interfaces = match GlobalForwarding::of(self.name) {
            Some(global) => global.interfaces(self.namespace)?,
            None => None,
        };
        Ok(SettingBefore { value, interfaces })
    }

    fn key(&self) -> Result<Key> {
        Ok(Key(NamespaceIdentity::of(self.namespace)?, self.name.to_owned()))
    }
}

impl Key {
    fn is(&self, other: &Self) -> bool {
        self.0.is(&other.0) && self.1 == other.1
    }
}

const SETTING: &str = "setting";
const CLAIM: &str = "claim";

impl Claims {
    fn peek() -> Result<Self> {
        Ok(Self::read(&RecordFile::peek(PATH, KIND)?.unwrap_or_default()))
    }

    /// Without claims whose claimants are gone, and settings that nobody claims. A line that makes no sense is passed over.
    fn read(lines: &[Line]) -> Self {
        let mut claims = Self::default();
        let key = |line: &Line| Some(Key(line.parse(0)?, line.text(1)?.to_owned()));
        for line in lines {
            match line.key() {
                SETTING => {
                    let read = || {
                        let interfaces = if line.parse(3)? { Some(line.texts(4)?) } else { None };
                        Some((key(line)?, SettingBefore { value: line.text(2)?.to_owned(), interfaces }))
                    };
                    claims.settings.extend(read());
                }
                CLAIM => {
                    let read = || {
                        let claimant = PathBuf::from(OsStr::from_bytes(line.bytes(2)?));
                        Some((key(line)?, claimant, line.text(3)?.to_owned()))
                    };
                    claims.claims.extend(read());
                }
                _ => {}
            }
        }
        claims.claims.retain(|(_, claimant, _)| fs::symlink_metadata(claimant).is_ok());
        claims.drop_unclaimed();
        claims
    }

    fn lines(&self) -> Vec<Line> {
        let settings = self.settings.iter().map(|(Key(namespace, name), before)| {
            let line = Line::new(SETTING).with(namespace).with(name).with(&before.value);
            let line = line.with(before.interfaces.is_some());
            before.interfaces.iter().flatten().fold(line, Line::with)
        });
        let claims = self.claims.iter().map(|(Key(namespace, name), claimant, value)| {
            let line = Line::new(CLAIM).with(namespace).with(name);
            line.with_bytes(claimant.as_os_str().as_bytes()).with(value)
        });
        settings.chain(claims).collect()
    }

    fn before(&self, key: &Key) -> Option<&SettingBefore> {
        self.settings.iter().find(|(other, _)| other.is(key)).map(|(_, before)| before)
    }

    /// What the last of the others needs.
    fn of_others(&self, key: &Key, claimant: &Path) -> Option<&str> {
        let mut others = self.claims.iter().rev();
        others.find(|(other, by, _)| other.is(key) && by != claimant).map(|(_, _, value)| value.as_str())
    }

    fn drop_claim(&mut self, key: &Key, claimant: &Path) {
        self.claims.retain(|(other, by, _)| !other.is(key) || by != claimant);
        self.drop_unclaimed();
    }

    fn drop_unclaimed(&mut self) {
        let claims = &self.claims;
        self.settings.retain(|(key, _)| claims.iter().any(|(claimed, _, _)| claimed.is(key)));
    }
}

/// Waits while others have the record.
fn locked<T>(open: impl Fn(&'static str, &'static str) -> Result<T>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        match open(PATH, KIND) {
            Err(error) if RecordFile::is_held(&error) && Instant::now() < until => thread::sleep(TICK),
            other => return other,
        }
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
