//! Measures.
use benches::compare::{Bare, Contender, Ours, Turns, compare};
use benches::sandboxes::Kind;
use benches::{host, peers};
fn main() -> benches::Result<()> {
    host::within(|| {
        let mut who: Vec<Box<dyn Contender>> = Vec::new();
        for (i, k) in Kind::ALL.into_iter().enumerate() {
            who.push(Box::new(Ours::new(i as u8, k)?));
        }
        who.push(Box::new(Bare::new(10, Kind::ANONYMOUS)?));
        who.push(Box::new(Bare::new(11, Kind::NAMED)?));
        if std::env::args().any(|a| a == "--peers") {
            let (p, m) = peers::all()?;
            who.extend(p);
            println!("{m:?}");
        }
        for c in compare(&mut who, Turns { turns: 6, each: 16 }, || eprint!("."))? {
            println!("{:32} make p50 {:8.0} mean {:8.0}  down {:8.0} reclaim {:8.0}", c.name, c.make.median_us(), c.make.mean_us(), c.take_down.median_us(), c.reclaim.median_us());
        }
        Ok(())
    })
}
