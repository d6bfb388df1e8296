//! `netns tuntap`: TAPs and TUNs, in `ip tuntap`'s words.

use super::cli::Common;
use super::option::{self, Keys};
use crate::failure::Failure;
use crate::output::{json_line, stdout};
use clap::{Args, Subcommand, ValueEnum};
use netns_core::link::{self, Link, LinkKind};
use netns_core::tap::{Tap, TapMode, TapOptions};
use netns_core::{IfName, Namespace};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct TuntapArguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<TuntapCommand>,
}

#[derive(Debug, Subcommand)]
enum TuntapCommand {
    /// List TAPs and TUNs.
    #[command(visible_alias = "list")]
    Show,
    /// Make one that stays until it is deleted: `tuntap add dev tap0 mode tap user 1000`.
    Add(TuntapAdd),
    /// Delete one.
    #[command(visible_alias = "del")]
    Delete {
        /// Its name.
        name: IfName,
        /// Frames or packets; it is known by its name.
        #[arg(long, value_enum)]
        mode: Option<TuntapMode>,
    },
}

#[derive(Debug, Args)]
struct TuntapAdd {
    /// Its name.
    name: IfName,
    /// Frames or packets.
    #[arg(long, value_enum)]
    mode: TuntapMode,
    /// The user that may attach to it, by number.
    #[arg(long, value_name = "UID")]
    user: Option<u32>,
    /// The group that may attach to it, by number.
    #[arg(long, value_name = "GID")]
    group: Option<u32>,
    /// Each frame begins with a virtio header.
    #[arg(long = "vnet_hdr")]
    vnet_hdr: bool,
    /// Several queues.
    #[arg(long = "multi_queue")]
    multi_queue: bool,
    /// Each frame begins with flags and a protocol.
    #[arg(long)]
    pi: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TuntapMode {
    /// Ethernet frames.
    Tap,
    /// IP packets.
    Tun,
}

pub(crate) fn tuntap(arguments: TuntapArguments) -> Result<ExitCode, Failure> {
    let mut socket = arguments.common.open()?;
    match arguments.command.unwrap_or(TuntapCommand::Show) {
        TuntapCommand::Show => show(&link::list(&mut socket)?, arguments.common.json)?,
        TuntapCommand::Add(new) => add(&new, arguments.common.netns.as_deref())?,
        TuntapCommand::Delete { name, .. } => {
            let found = link::get(&mut socket, name)?;
            if !matches!(found.details, Some(LinkKind::Tun(_))) {
                return Err(Failure::Usage(format!("{name} is no TAP and no TUN")));
            }
            link::delete(&mut socket, found.index)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn add(new: &TuntapAdd, netns: Option<&str>) -> Result<(), Failure> {
    let options = TapOptions {
        mode: match new.mode {
            TuntapMode::Tap => TapMode::Tap,
            TuntapMode::Tun => TapMode::Tun,
        },
        vnet_hdr: new.vnet_hdr,
        multi_queue: new.multi_queue,
        packet_info: new.pi,
        ..TapOptions::new(new.name)
    };
    let tap = match netns {
        Some(name) => Tap::create_in(&Namespace::open(name)?, &options)?,
        None => Tap::create(&options)?,
    };
    if let Some(user) = new.user {
        tap.set_owner(user)?;
    }
    if let Some(group) = new.group {
        tap.set_group(group)?;
    }
    // Last: what fails before leaves nothing.
    Ok(tap.set_persistent(true)?)
}

fn show(links: &[Link], json: bool) -> Result<(), Failure> {
    let taps = links
        .iter()
        .filter_map(|link| Some((link, link.details.filter(|details| matches!(details, LinkKind::Tun(_)))?)));
    let mut out = stdout();
    if json {
        let taps = taps.map(|(link, details)| {
            let mut object = option::json(&details, &BTreeMap::new(), Keys::Ip);
            object.insert("ifname".to_owned(), link.name.as_str().into());
            Value::Object(object)
        });
        json_line(&mut out, &taps.collect())?;
        return Ok(());
    }
    for (link, details) in taps {
        writeln!(out, "{}:{}", link.name, option::text(&details, &BTreeMap::new()))?;
    }
    Ok(())
}
