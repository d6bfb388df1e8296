//! `route_localnet`: what is sent to a published port at 127.0.0.1 leaves the host by the container's link only with this
//! setting of the link, which also lets in what containers send to 127.0.0.0/8. A rule of the table of IP packets drops that, so
//! the setting is put back before the table goes.

use crate::attachments;
use crate::failure::Outcome;
use crate::settings;
use netns_core::link;
use netns_core::record::RecordFile;
use netns_core::{ErrorKind, IfName, Namespace, RouteSocket, sysctl};

fn setting(link: IfName) -> String {
    format!("net/ipv4/conf/{link}/route_localnet")
}

fn is_its(name: &str) -> bool {
    name.ends_with("/route_localnet")
}

/// Switches it on. The rule has to be there.
pub(crate) fn open(record: &mut RecordFile, link: IfName) -> Outcome<()> {
    settings::claim(record, &Namespace::current()?, &setting(link))
}

/// The records of links that may have it on, locked: until they are dropped, nobody publishes a port that needs it.
pub(crate) fn lock() -> Outcome<Vec<RecordFile>> {
    let mut records = Vec::new();
    for link in attachments::bridges()? {
        if settings::claimed(&attachments::peek_bridge(&link)?).any(|(name, _)| is_its(name)) {
            records.extend(attachments::find_bridge(&link)?);
        }
    }
    Ok(records)
}

/// Puts it back where it is on record. Whether none of these links has it on that was not so before.
pub(crate) fn shut(records: Vec<RecordFile>, links: &[u32]) -> Outcome<bool> {
    let (namespace, mut socket) = (Namespace::current()?, RouteSocket::open()?);
    let mut were_on = Vec::new();
    for record in records {
        settings::put_back(&record, &namespace, is_its)?;
        let on = settings::claimed(record.lines()).filter(|&(name, before)| is_its(name) && before == "1");
        were_on.extend(on.map(|(name, _)| name.to_owned()));
        settings::forget(record, is_its)?;
    }
    for &index in links {
        let name = match link::get(&mut socket, index) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            link => setting(link?.name),
        };
        match sysctl::get(&namespace, &name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            value => {
                if value? == "1" && !were_on.contains(&name) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}
