//! `netns stats`.

use super::cli::StatsArguments;
use super::link::stats64;
use super::some;
use crate::failure::Failure;
use crate::output::{human, json_line, stdout};
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;

pub(crate) fn stats(arguments: &StatsArguments) -> Result<ExitCode, Failure> {
    let links = some(&mut arguments.common.open()?, arguments.name)?;
    let mut out = stdout();
    if arguments.common.json {
        let links = links.iter().map(|link| {
            json!({ "ifindex": link.index, "ifname": link.name.as_str(), "stats64": stats64(&link.stats) })
        });
        json_line(&mut out, &links.collect::<Value>())?;
        return Ok(ExitCode::SUCCESS);
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
    Ok(ExitCode::SUCCESS)
}
