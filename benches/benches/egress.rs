//! The way out and its limits: what they add to a sandbox ([`benches::way_out`]), and a million networks beside a set of nft
//! ([`benches::sets`]). Printed; `--networks N` and `--turns N` for other numbers.

use benches::samples::micros;
use benches::{Result, host, sets, way_out};
use std::env::args;

fn main() -> Result<()> {
    let number = |option: &str, default| {
        let found = args().skip_while(|argument| argument != option).nth(1);
        found.map_or(Ok(default), |number| number.parse())
    };
    // What cargo's test runner asks of every bench.
    if args().any(|argument| argument == "--test" || argument == "--list") {
        return Ok(());
    }
    let (networks, turns) = (number("--networks", 1_000_000)?, number("--turns", 40)?);
    host::enter()?;
    let [without, with] = way_out::way_out(turns, 32)?;
    println!(
        "a guarded sandbox {:.0} us; masqueraded, with an egress policy, limits, scopes, verdicts {:.0} us: {:.3} times (goal {})",
        without.median_us(),
        with.median_us(),
        with.ratio_in_turns(&without),
        way_out::MOST,
    );
    for way in sets::sets(networks)? {
        let load = way.load.map_or_else(String::new, |load| {
            let (wall, processor) = (load.wall.as_secs_f64(), load.processor.as_secs_f64());
            format!("; holds after {wall:.2} s, {processor:.2} s of processors")
        });
        let (median, low) = (way.frame.median_us() * 1e3, micros(way.frame.quantile(0.25)) * 1e3);
        println!("{}: {median:.0} ns a frame (lower quartile {low:.0}){load}", way.name);
    }
    Ok(())
}
