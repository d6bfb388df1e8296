//! Settings of the host that networks need: what each was is on the record of a bridge, or of another link that leads to
//! containers, before it is changed.

use crate::failure::Outcome;
use netns_core::record::{Line, RecordFile, SettingBefore, SharedSetting};
use netns_core::{Namespace, sysctl};

/// A setting that the link's containers need: its name, its earlier value, and the interfaces that forwarded.
const SETTING: &str = "setting";
/// What they need it to be.
const ON: &str = "1";

/// Switches a setting on for the containers of a link, whose record this is.
pub(crate) fn claim(record: &mut RecordFile, namespace: &Namespace, name: &str) -> Outcome<()> {
    if is_on(record.lines(), namespace, name)? {
        return Ok(());
    }
    let path = record.path().to_path_buf();
    let setting = SharedSetting { namespace, name, claimant: &path };
    if !is_claimed(record.lines(), name) {
        let before = setting.before()?;
        let line = Line::new(SETTING).with(name).with(&before.value);
        let line = match before.interfaces {
            None => line.with(0),
            Some(interfaces) => interfaces.into_iter().fold(line.with(1), Line::with),
        };
        record.append(&[line])?;
    }
    Ok(setting.claim(ON)?)
}

/// Whether a record with these lines has claimed the setting, and it is on.
pub(crate) fn is_on(lines: &[Line], namespace: &Namespace, name: &str) -> Outcome<bool> {
    Ok(is_claimed(lines, name) && sysctl::get(namespace, name)? == ON)
}

fn is_claimed(lines: &[Line], name: &str) -> bool {
    claimed(lines).any(|(claimed, _)| claimed == name)
}

/// The settings on a record, each with its earlier value.
pub(crate) fn claimed(lines: &[Line]) -> impl Iterator<Item = (&str, &str)> {
    lines.iter().filter(|line| line.key() == SETTING).filter_map(|line| Some((line.text(0)?, line.text(1)?)))
}

/// Puts the settings that are meant back, as far as nobody else needs them; they stay on the record.
pub(crate) fn put_back(
    record: &RecordFile,
    namespace: &Namespace,
    is_meant: impl Fn(&str) -> bool,
) -> Outcome<()> {
    for line in record.lines().iter().filter(|line| line.key() == SETTING) {
        let (Some(name), Some(value)) = (line.text(0), line.text(1)) else { continue };
        if is_meant(name) {
            let interfaces = (line.text(2) == Some("1")).then(|| line.texts(3)).flatten();
            let before = SettingBefore { value: value.to_owned(), interfaces };
            SharedSetting { namespace, name, claimant: record.path() }.release(&before, ON)?;
        }
    }
    Ok(())
}

/// Removes these settings from the record, and the record if it says nothing else.
pub(crate) fn forget(mut record: RecordFile, is_meant: impl Fn(&str) -> bool) -> Outcome<()> {
    let is_its = |line: &Line| line.key() == SETTING && line.text(0).is_some_and(&is_meant);
    let left: Vec<Line> = record.lines().iter().filter(|line| !is_its(line)).cloned().collect();
    let done = if left.is_empty() { record.remove() } else { record.replace(left) };
    Ok(done?)
}
