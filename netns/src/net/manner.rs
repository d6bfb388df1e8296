//! The options that stand before `ip`'s objects; here they may stand after them too.

use super::words::{IpFamily, Keyword, Takes, find, short, whole};
use crate::failure::Failure;
use crate::messages::set_verbose;
use crate::output::{json_line, json_pretty};
use netns_core::{Namespace, RouteSocket};
use serde_json::Value;
use std::io::Write;

/// In which namespace, for which family, and how to print.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(super) struct Manner {
    pub(super) netns: Option<String>,
    pub(super) family: Option<IpFamily>,
    pub(super) json: bool,
    pub(super) pretty: bool,
    pub(super) brief: bool,
    pub(super) oneline: bool,
    pub(super) details: bool,
    pub(super) all: bool,
    /// `netns exec --no-mounts`.
    pub(super) no_mounts: bool,
}

#[derive(Clone, Copy)]
enum OptionAct {
    Family,
    Inet,
    Inet6,
    /// No effect here: counters are always shown, with prefixes, and colours never.
    Nothing,
    Details,
    Oneline,
    Brief,
    Json,
    Pretty,
    Netns,
    All,
    NoMounts,
    Verbose,
}

/// In the order in which `ip` compares them, then our own.
const OPTIONS: &[Keyword<OptionAct>] = &[
    short("loops", Takes::Refused, OptionAct::Nothing),
    short("family", Takes::Value, OptionAct::Family),
    whole("4", Takes::Nothing, OptionAct::Inet),
    whole("6", Takes::Nothing, OptionAct::Inet6),
    short("human-readable", Takes::Nothing, OptionAct::Nothing),
    short("iec", Takes::Refused, OptionAct::Nothing),
    short("stats", Takes::Nothing, OptionAct::Nothing),
    short("statistics", Takes::Nothing, OptionAct::Nothing),
    short("details", Takes::Nothing, OptionAct::Details),
    short("resolve", Takes::Refused, OptionAct::Nothing),
    short("oneline", Takes::Nothing, OptionAct::Oneline),
    short("timestamp", Takes::Refused, OptionAct::Nothing),
    short("tshort", Takes::Refused, OptionAct::Nothing),
    short("Version", Takes::Refused, OptionAct::Nothing),
    short("force", Takes::Refused, OptionAct::Nothing),
    short("batch", Takes::Refused, OptionAct::Nothing),
    short("brief", Takes::Nothing, OptionAct::Brief),
    short("json", Takes::Nothing, OptionAct::Json),
    short("pretty", Takes::Nothing, OptionAct::Pretty),
    short("rcvbuf", Takes::Refused, OptionAct::Nothing),
    short("color", Takes::Nothing, OptionAct::Nothing),
    whole("color=auto", Takes::Nothing, OptionAct::Nothing),
    whole("color=never", Takes::Nothing, OptionAct::Nothing),
    short("netns", Takes::Value, OptionAct::Netns),
    short("Numeric", Takes::Refused, OptionAct::Nothing),
    short("all", Takes::Nothing, OptionAct::All),
    whole("echo", Takes::Refused, OptionAct::Nothing),
    whole("no-mounts", Takes::Nothing, OptionAct::NoMounts),
    whole("v", Takes::Nothing, OptionAct::Verbose),
    whole("verbose", Takes::Nothing, OptionAct::Verbose),
];

impl Manner {
    /// Parses an option without its leading `-`; its value is taken from what follows.
    pub(super) fn read(
        &mut self,
        option: &str,
        words: &mut impl Iterator<Item = String>,
    ) -> Result<(), Failure> {
        let name = option.strip_prefix('-').unwrap_or(option);
        let (name, mut given) = match name.split_once('=') {
            Some((name, value)) if name != "color" => (name, Some(value.to_owned())),
            _ => (name, None),
        };
        let Some(row) = find(OPTIONS, name) else {
            return Err(Failure::Usage(format!("there is no option -{option}")));
        };
        if row.is_refused() {
            return Err(Failure::Usage(format!("the option -{} is not supported; use ip", row.name)));
        }
        let mut value = || {
            let value = given.take().or_else(|| words.next());
            value.ok_or_else(|| Failure::Usage(format!("-{}: its value is missing", row.name)))
        };
        match row.act {
            OptionAct::Family => {
                let word = value()?;
                let family = IpFamily::named(&word).ok_or_else(|| {
                    Failure::Usage(format!("-family {word:?}: it is neither inet nor inet6"))
                })?;
                self.family = Some(family);
            }
            OptionAct::Netns => self.netns = Some(value()?),
            OptionAct::Inet => self.family = Some(IpFamily::Inet),
            OptionAct::Inet6 => self.family = Some(IpFamily::Inet6),
            OptionAct::Nothing => {}
            OptionAct::Details => self.details = true,
            OptionAct::Oneline => self.oneline = true,
            OptionAct::Brief => self.brief = true,
            OptionAct::Json => self.json = true,
            OptionAct::Pretty => self.pretty = true,
            OptionAct::All => self.all = true,
            OptionAct::NoMounts => self.no_mounts = true,
            OptionAct::Verbose => set_verbose(true),
        }
        match given {
            Some(value) => Err(Failure::Usage(format!("-{}: {value:?} is too much", row.name))),
            None => Ok(()),
        }
    }

    /// The named namespace that was asked for.
    pub(super) fn namespace(&self) -> Result<Option<Namespace>, Failure> {
        Ok(self.netns.as_deref().map(Namespace::open).transpose()?)
    }

    /// A socket in the named namespace, or in our own.
    pub(super) fn open(&self) -> Result<RouteSocket, Failure> {
        Ok(match self.namespace()? {
            Some(namespace) => RouteSocket::open_in(&namespace)?,
            None => RouteSocket::open()?,
        })
    }

    /// Writes a document on one line, or with `-p` on several.
    pub(super) fn print_json(&self, out: &mut impl Write, value: &Value) -> Result<(), Failure> {
        if self.pretty {
            json_pretty(out, value)?;
        } else {
            json_line(out, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Manner;
    use crate::net::words::IpFamily;

    fn read(options: &str) -> Result<Manner, String> {
        let mut manner = Manner::default();
        let mut words = options.split(' ').map(str::to_owned);
        while let Some(word) = words.next() {
            manner.read(&word[1..], &mut words).map_err(|failure| failure.to_string())?;
        }
        Ok(manner)
    }

    #[test]
    fn options_are_shortened_as_ips() {
        let manner = read("-br -6 -j -d -s -h -c -p -n ns1 -o -a").unwrap();
        assert!(
            manner.brief && manner.json && manner.details && manner.pretty && manner.oneline && manner.all
        );
        assert_eq!((manner.netns.as_deref(), manner.family), (Some("ns1"), Some(IpFamily::Inet6)));
        assert_eq!(read("--netns=ns2 --json -stat").unwrap().netns.as_deref(), Some("ns2"));
        assert_eq!(read("-b x").unwrap_err(), "the option -batch is not supported; use ip");
        assert_eq!(read("-N").unwrap_err(), "the option -Numeric is not supported; use ip");
        assert_eq!(read("-x").unwrap_err(), "there is no option -x");
        assert_eq!(read("-n").unwrap_err(), "-netns: its value is missing");
        assert_eq!(read("-json=1").unwrap_err(), "-json: \"1\" is too much");
    }
}
