//! `cargo bench -p benches --bench throughput`: see [`benches::throughput`]. A table, not criterion's: contenders take
//! turns. With the name of one (`-- enforce`) its datagrams alone, for as long as it takes to look at them with perf.

use benches::throughput::{datagrams, throughput};
use benches::{Result, host};
use std::env;
use std::time::Duration;

const TURNS: usize = 120;
const LOOK: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    host::enter()?;
    // cargo says `--bench`.
    if let Some(contender) = env::args().skip(1).find(|argument| !argument.starts_with('-')) {
        println!("{:.3} us a datagram", datagrams(&contender, LOOK)?.median_us());
        return Ok(());
    }
    println!("{:<52} {:>10}  {:<28} {:>10} {:>6} {:>6}  goal", "what", "us", "beside", "us", "ratio", "p25");
    for row in throughput(TURNS, |ports| eprintln!("{ports} ports"))? {
        println!(
            "{:<52} {:>10.3}  {:<28} {:>10.3} {:>6.3} {:>6.3}  {} {}",
            row.name,
            row.ours_us,
            row.peer.unwrap_or_default(),
            row.peer_us.unwrap_or_default(),
            row.ratio.unwrap_or_default(),
            row.ratio_p25.unwrap_or_default(),
            row.goal.unwrap_or_default(),
            if row.met == Some(false) { "NO" } else { "yes" },
        );
    }
    Ok(())
}
