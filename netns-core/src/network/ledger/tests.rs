use super::{Ledger, Ticket};
use std::collections::{HashMap, HashSet, VecDeque};

fn numbers(ledger: &mut Ledger, count: usize) -> Vec<Option<u32>> {
    (0..count).map(|_| ledger.take().map(|ticket| ticket.number)).collect()
}

#[test]
fn numbers_come_in_order_and_end() {
    let mut ledger = Ledger::new(3, 2);
    assert_eq!(numbers(&mut ledger, 4), [Some(0), Some(1), Some(2), None]);
    assert_eq!((ledger.used(), ledger.leaving(), ledger.available()), (3, 0, false));
}

#[test]
fn a_number_is_not_used_again_before_the_kernel_has_reclaimed_its_port() {
    let mut ledger = Ledger::new(2, 1);
    let [first, _] = [(); 2].map(|()| ledger.take().unwrap());
    ledger.leave(first);
    assert_eq!((ledger.take(), ledger.leaving(), ledger.leaving_on(0)), (None, 1, 1));
    ledger.gone(0);
    assert_eq!((ledger.take().map(|ticket| ticket.number), ledger.leaving()), (Some(0), 0));
}

#[test]
fn what_was_free_first_is_used_first_and_before_what_never_was() {
    let mut ledger = Ledger::new(10, 4);
    let tickets = [(); 4].map(|()| ledger.take().unwrap());
    for number in [2, 0, 3] {
        ledger.leave(tickets[number]);
        ledger.gone(number as u32);
    }
    assert_eq!(numbers(&mut ledger, 4), [Some(2), Some(0), Some(3), Some(4)]);
}

#[test]
fn a_slot_is_given_back_once_and_only_when_the_port_is_gone() {
    let mut ledger = Ledger::new(2, 2);
    let ticket = ledger.take().unwrap();
    ledger.set_slot(ticket, 7);
    assert_eq!(ledger.leave(ticket), None);
    assert_eq!(ledger.gone(0), Some(7));
    assert_eq!((ledger.gone(0), ledger.leave(ticket), ledger.give_back(ticket)), (None, None, None));
}

#[test]
fn a_port_that_somebody_else_deleted_is_not_waited_for() {
    let mut ledger = Ledger::new(1, 1);
    let ticket = ledger.take().unwrap();
    ledger.set_slot(ticket, 7);
    ledger.commit(ticket);
    assert_eq!((ledger.gone(0), ledger.is_dead(ticket)), (None, true));
    assert_eq!((ledger.take(), ledger.used()), (None, 1));
    assert_eq!(ledger.leave(ticket), Some(7));
    assert_eq!(
        (numbers(&mut ledger, 1), ledger.leaving(), ledger.is_dead(ticket)),
        (vec![Some(0)], 0, false)
    );
}

#[test]
fn an_old_ticket_says_nothing() {
    let mut ledger = Ledger::new(1, 1);
    let old = ledger.take().unwrap();
    ledger.leave(old);
    ledger.gone(0);
    // Somebody else was quicker: the number is theirs by now.
    let new = ledger.take().unwrap();
    ledger.set_slot(new, 9);
    ledger.commit(new);
    for _ in 0..2 {
        let said = [ledger.absent(old), ledger.give_back(old), ledger.leave(old)];
        assert_eq!(said, [None; 3]);
        ledger.set_slot(old, 8);
        ledger.commit(old);
    }
    assert_eq!((ledger.used(), ledger.is_dead(new), ledger.take()), (1, false, None));
    assert_eq!((ledger.leave(new), ledger.gone(0)), (None, Some(9)));
}

#[test]
fn a_number_of_which_no_port_was_made_is_free_at_once() {
    let mut ledger = Ledger::new(1, 1);
    for round in 0..3 {
        let ticket = ledger.take().unwrap();
        ledger.set_slot(ticket, round);
        assert_eq!((ledger.give_back(ticket), ledger.used(), ledger.leaving()), (Some(round), 0, 0));
    }
}

/// What one attempt at a sandbox has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has a number.
    Begun,
    /// Its port was made.
    Made,
    Used,
}

/// Who has the link with a number's index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Ours(Ticket),
    Stranger,
}

/// A kernel, networks' threads and a stranger, as a random history has them.
struct World {
    ledger: Ledger,
    held: Vec<(Ticket, Stage)>,
    /// By number.
    links: HashMap<u32, Owner>,
    /// Ports whose sandbox is closed: the kernel takes them when it likes.
    closed: HashSet<u32>,
    notices: VecDeque<u32>,
    lost: bool,
    unsure: bool,
    /// Slots that the program has given out, with their number.
    slots: HashMap<u16, u32>,
    next_slot: u16,
}

const CAPACITY: u32 = 6;

impl World {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(CAPACITY, 3),
            held: Vec::new(),
            links: HashMap::new(),
            closed: HashSet::new(),
            notices: VecDeque::new(),
            lost: false,
            unsure: false,
            slots: HashMap::new(),
            next_slot: 1,
        }
    }

    fn release(&mut self, slot: Option<u16>) {
        if let Some(slot) = slot {
            let number = self.slots.remove(&slot).expect("a slot is released once");
            let ours = matches!(self.links.get(&number), Some(Owner::Ours(_)));
            assert!(!ours, "slot of number {number} is released while its port is there");
        }
    }

    fn take(&mut self) {
        let Some(ticket) = self.ledger.take() else { return };
        assert!(self.held.iter().all(|(other, _)| other.number != ticket.number), "it is somebody's");
        let ours = matches!(self.links.get(&ticket.number), Some(Owner::Ours(_)));
        assert!(!ours, "the kernel has a port of number {}", ticket.number);
        self.ledger.set_slot(ticket, self.next_slot);
        assert_eq!(self.slots.insert(self.next_slot, ticket.number), None);
        self.next_slot += 1;
        self.held.push((ticket, Stage::Begun));
    }

    /// The next step of an attempt: making the port, which may fail, and finishing.
    fn proceed(&mut self, at: usize, fails: bool) {
        let (ticket, stage) = self.held[at];
        match (self.links.get(&ticket.number), stage) {
            (_, Stage::Used) => {}
            (None, Stage::Begun) if fails => {
                self.held.swap_remove(at);
                let slot = self.ledger.give_back(ticket);
                self.release(slot);
            }
            (None, Stage::Begun) => {
                self.links.insert(ticket.number, Owner::Ours(ticket));
                self.held[at].1 = Stage::Made;
            }
            (Some(Owner::Stranger), Stage::Begun) => {
                self.held.swap_remove(at);
                let slot = self.ledger.give_back(ticket);
                self.release(slot);
            }
            (Some(Owner::Ours(_)), Stage::Begun) => panic!("two have a number"),
            (Some(Owner::Ours(owner)), Stage::Made) if *owner == ticket && !fails => {
                self.ledger.commit(ticket);
                self.held[at].1 = Stage::Used;
            }
            // It fails, or somebody has deleted the port, so that it fails.
            (_, Stage::Made) => self.close(at),
        }
    }

    /// A sandbox is dropped, or an attempt fails after its port was made.
    fn close(&mut self, at: usize) {
        let (ticket, stage) = self.held.swap_remove(at);
        let slot = self.ledger.leave(ticket);
        self.release(slot);
        self.unsure |= stage == Stage::Made;
        if self.links.get(&ticket.number) == Some(&Owner::Ours(ticket)) {
            self.closed.insert(ticket.number);
        }
    }

    /// A link ends: the kernel says so, if there is room for it. Of a stranger's link the name says that it is no port.
    fn end(&mut self, number: u32, is_heard: bool) {
        let Some(owner) = self.links.remove(&number) else { return };
        self.closed.remove(&number);
        match owner {
            _ if !is_heard => self.lost = true,
            Owner::Ours(_) => self.notices.push_back(number),
            Owner::Stranger => {}
        }
    }

    fn read(&mut self) {
        self.unsure |= std::mem::take(&mut self.lost);
        while let Some(number) = self.notices.pop_front() {
            let slot = self.ledger.gone(number);
            self.release(slot);
        }
    }

    fn read_and_look(&mut self) {
        self.read();
        if std::mem::take(&mut self.unsure) {
            let expected: Vec<Ticket> =
                [0, 1].into_iter().flat_map(|bridge| self.ledger.expected(bridge)).collect();
            let is_there = |ticket: &Ticket| matches!(self.links.get(&ticket.number), Some(Owner::Ours(_)));
            let absent: Vec<Ticket> = expected.into_iter().filter(|ticket| !is_there(ticket)).collect();
            for ticket in absent {
                let slot = self.ledger.absent(ticket);
                self.release(slot);
            }
        }
    }
}

/// Histories of attempts, failures, drops, a stranger's links, notices read late and lost, as a thousand seeds have it:
/// no number and no slot is used twice, and none is lost.
#[test]
fn no_history_uses_a_number_twice_or_loses_one() {
    for seed in 1..=1000_u64 {
        let mut random = crate::wire::Random::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut world = World::new();
        for _ in 0..300 {
            let number = random.below(CAPACITY as usize) as u32;
            let at = random.below(world.held.len().max(1));
            let is_held = at < world.held.len();
            match random.below(10) {
                0 | 1 => world.take(),
                2..=4 if is_held => world.proceed(at, random.below(5) == 0),
                5 if is_held && world.held[at].1 == Stage::Used => world.close(at),
                6 if world.closed.contains(&number) => world.end(number, random.below(8) > 0),
                // A stranger deletes a link, or makes one.
                7 if random.below(4) == 0 => world.end(number, random.below(8) > 0),
                8 if random.below(4) == 0 => {
                    world.links.entry(number).or_insert(Owner::Stranger);
                }
                9 => world.read_and_look(),
                _ => {}
            }
            let held = world.held.len() as u32;
            assert_eq!(world.ledger.used(), held, "seed {seed}");
        }
        // All is dropped, the kernel has time, and strangers leave.
        while let Some((ticket, stage)) = world.held.last().copied() {
            let at = world.held.len() - 1;
            match (stage, world.links.get(&ticket.number)) {
                (Stage::Begun, _) => world.proceed(at, true),
                _ => world.close(at),
            }
        }
        for number in 0..CAPACITY {
            world.end(number, true);
        }
        world.read_and_look();
        let ledger = &mut world.ledger;
        assert_eq!((ledger.used(), ledger.leaving(), world.slots.len()), (0, 0, 0), "seed {seed}");
        let mut all: Vec<u32> = std::iter::from_fn(|| ledger.take()).map(|ticket| ticket.number).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5], "seed {seed}");
    }
}
