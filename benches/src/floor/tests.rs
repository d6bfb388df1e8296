//! The floor makes the same sandboxes as the library.

use super::{Floor, STEPS};
use crate::host;
use crate::samples::Samples;
use crate::sandboxes::Kind;

#[test]
fn the_floor_makes_sandboxes_of_every_kind() {
    if host::enter().is_err() && std::env::var_os("CI").is_none() {
        eprintln!("SKIPPED: a host of our own needs root");
        return;
    }
    for (number, kind) in (0..).zip(Kind::ALL) {
        let mut floor = Floor::new(number, kind).unwrap();
        let before = host::links().unwrap();
        let mut steps: [Samples; STEPS.len()] = Default::default();
        for _ in 0..3 {
            floor.time_steps(&mut steps).unwrap();
        }
        assert_eq!(host::links().unwrap(), before + 3, "a port for each sandbox ({})", kind.name);
        floor.drop_all().unwrap();
        host::wait_for_links(before).unwrap();
        let taken = steps.iter().filter(|samples| samples.all().len() == 3).count();
        assert_eq!(taken, if kind.named { 8 } else { 6 }, "{}", kind.name);
    }
}
