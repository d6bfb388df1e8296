//! `cargo bench -p benches --bench throughput`: see [`benches::throughput`]. A table, not criterion's: contenders take
//! turns.

use benches::throughput::throughput;
use benches::{Result, host};

const TURNS: usize = 120;

fn main() -> Result<()> {
    host::enter()?;
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
