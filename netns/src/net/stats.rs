//! `netns stats`.

use super::line::WordLine;
use super::link::{self, LinkFilter, stats64};
use super::words::{Keyword, Takes, other, whole};
use crate::failure::Failure;
use crate::output::{human, stdout};
use serde_json::{Value, json};
use std::io::Write;

pub(super) const WORDS: &[Keyword<LinkFilter>] =
    &[whole("dev", Takes::Value, LinkFilter::Dev), other(Takes::Value, LinkFilter::Dev)];

pub(super) fn stats(line: &mut WordLine) -> Result<(), Failure> {
    let phrases = line.phrases(WORDS)?;
    let links = link::select(&mut line.manner.open()?, &phrases)?;
    let mut out = stdout();
    if line.manner.json {
        let links = links.iter().map(|link| {
            json!({ "ifindex": link.index, "ifname": link.name.to_string(), "stats64": stats64(&link.stats) })
        });
        return line.manner.print_json(&mut out, &links.collect::<Value>());
    }
    writeln!(
        out,
        "{:<15} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7}",
        "", "rx bytes", "packets", "dropped", "tx bytes", "packets", "dropped"
    )?;
    for link in &links {
        let stats = &link.stats;
        let [rx, rx_packets, rx_dropped] = [stats.rx_bytes, stats.rx_packets, stats.rx_dropped].map(human);
        let [tx, tx_packets, tx_dropped] = [stats.tx_bytes, stats.tx_packets, stats.tx_dropped].map(human);
        writeln!(
            out,
            "{:<15} {rx:>9} {rx_packets:>9} {rx_dropped:>7} {tx:>9} {tx_packets:>9} {tx_dropped:>7}",
            link.name
        )?;
    }
    Ok(())
}
