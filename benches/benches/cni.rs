//! `ADD` and `DEL` of a chain of CNI plugins, start of processes included, in turns: ours and Debian's, beside containers that
//! publish ports, and one raw request each on a bridge with as many ports. Ours are those of `cargo build --release -p netns-cni`.
//! Printed; `--turns N` for another number of them.

use benches::cni::{CniChain, CniChainKind};
use benches::raw_ports::RawPorts;
use benches::samples::Samples;
use benches::{Result, host};
use std::env::args;
use std::thread;
use std::time::Duration;

/// How many ports each container publishes, how many containers there are, and whether Debian's take part, which would need
/// hours for the rest.
const ROWS: [(u32, usize, bool); 4] = [(1, 1, true), (1, 500, true), (1, 1000, false), (32, 470, false)];
/// How long the machine is left alone after each, since the kernel goes on for a while: what a new interface says at its birth, and
/// what a deleted one leaves to workers.
const REST: Duration = Duration::from_millis(100);

fn main() -> Result<()> {
    let found = args().skip_while(|argument| argument != "--turns").nth(1);
    let turns: usize = found.map_or(Ok(20), |number| number.parse())?;
    // What cargo's test runner asks of every bench.
    if args().any(|argument| argument == "--test" || argument == "--list") {
        return Ok(());
    }
    host::enter()?;
    let mut chains = CniChainKind::ALL
        .into_iter()
        .map(|kind| Ok((kind, CniChain::new(kind)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut raw = RawPorts::new()?;
    // Of the raw requests and of the ways, beside one container.
    let mut first: Option<Vec<Times>> = None;
    for (ports, alive, with_debians) in ROWS {
        raw.keep(alive)?;
        for (kind, chain) in &mut chains {
            chain.publish(ports)?;
            let takes_part = with_debians || *kind != CniChainKind::Debians;
            chain.keep(if takes_part { alive } else { 0 })?;
        }
        println!("{alive} container(s), {ports} port(s) each:");
        let (mut of_raw, mut of_chains) = (Times::default(), vec![Times::default(); chains.len()]);
        // The first turn is not counted.
        for turn in 0..=turns {
            let measure = |times: &mut Times, add: Duration, del: Duration| {
                if turn > 0 {
                    times.add.push(add);
                    times.del.push(del);
                }
                thread::sleep(REST);
            };
            measure(&mut of_raw, raw.add()?, raw.del()?);
            for ((kind, chain), times) in chains.iter_mut().zip(&mut of_chains) {
                if with_debians || *kind != CniChainKind::Debians {
                    measure(times, chain.add()?, chain.del()?);
                }
            }
        }
        of_raw.print("one raw request", &of_raw);
        let first = first.get_or_insert_with(|| [&[of_raw.clone()], &*of_chains].concat());
        for (((kind, _), times), begin) in chains.iter().zip(&of_chains).zip(&first[1..]) {
            if with_debians || *kind != CniChainKind::Debians {
                times.print(kind.name(), &of_raw);
                let [add, del] = times.growth(begin, &of_raw, &first[0]);
                println!(
                    "    grown since the first row, by the raw one's growth: ADD {add:.2}, DEL {del:.2}"
                );
            }
        }
    }
    for (_, chain) in &mut chains {
        chain.keep(0)?;
    }
    Ok(())
}

/// What was measured of one way.
#[derive(Clone, Default)]
struct Times {
    add: Samples,
    del: Samples,
}

impl Times {
    /// How many times as long as in the first row, `ADD` and `DEL`, divided by the same of the raw requests.
    fn growth(&self, first: &Self, raw: &Self, first_raw: &Self) -> [f64; 2] {
        let grown = |now: &Samples, first: &Samples| now.median_us() / first.median_us();
        [
            grown(&self.add, &first.add) / grown(&raw.add, &first_raw.add),
            grown(&self.del, &first.del) / grown(&raw.del, &first_raw.del),
        ]
    }

    fn print(&self, name: &str, raw: &Self) {
        println!(
            "  {name}: ADD {:.2} ms, DEL {:.2} ms, {:.2} times the raw one",
            self.add.median_us() / 1e3,
            self.del.median_us() / 1e3,
            self.del.ratio_in_turns(&raw.del),
        );
    }
}
