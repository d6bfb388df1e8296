//! Tests of reading and clearing the table, in shared memory that no program writes.

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::PairTable;
use crate::layout::{PAIR_GROUP, PairKey, PairLine};
use crate::monitor::mapped::MappedArray;
use crate::monitor::slots::Slots;
use crate::monitor::{Pair, Slot};

/// A table of two groups, with these in its first lines.
fn table(lines: &[[u64; 3]]) -> PairTable {
    let size = 2 * PAIR_GROUP as usize * size_of::<PairLine>();
    // SAFETY: the name is a C string; a descriptor that nobody else owns is what comes of it, or -1.
    let memory = unsafe {
        let memory = libc::memfd_create(c"pairs".as_ptr(), libc::MFD_CLOEXEC);
        assert!(memory >= 0 && libc::ftruncate(memory, size.try_into().unwrap()) == 0);
        OwnedFd::from_raw_fd(memory)
    };
    let array = MappedArray::new(memory.as_fd(), 2 * PAIR_GROUP as usize, size_of::<PairLine>()).unwrap();
    for (number, line) in lines.iter().enumerate() {
        for (word, value) in array.words(number).iter().zip(line) {
            word.store(*value, Ordering::Relaxed);
        }
    }
    PairTable::new(array, None)
}

/// What a table's first lines are.
fn lines<const N: usize>(table: &PairTable) -> [[u64; 3]; N] {
    std::array::from_fn(|number| table.lines.read(number))
}

/// Slots of which the first two are in use.
fn slots() -> Slots {
    let mut slots = Slots::new(4);
    slots.take(7);
    slots.take(8);
    slots
}

const fn word(from: u32, to: u32) -> u64 {
    PairKey { from, to }.word()
}

fn pair(from: u16, to: u16, packets: u64, bytes: u64) -> Pair {
    Pair { from: Slot::new(from), to: Slot::new(to).unwrap(), packets, bytes }
}

#[test]
fn a_pair_with_two_lines_is_one() {
    let table = table(&[[word(1, 2), 3, 300], [word(0, 2), 1, 100], [word(1, 2), 4, 400]]);
    assert_eq!(table.sweep(&slots()), [pair(1, 2, 7, 700), pair(0, 2, 1, 100)]);
}

#[test]
fn lines_of_ports_that_are_gone_are_free_again() {
    let table = table(&[[word(1, 3), 3, 300], [word(3, 1), 1, 100], [word(2, 1), 4, 400]]);
    assert_eq!(table.sweep(&slots()), [pair(2, 1, 4, 400)]);
    assert_eq!(lines(&table), [[0; 3], [0; 3], [word(2, 1), 4, 400]]);
}

#[test]
fn a_line_that_somebody_else_clears_is_left_to_them() {
    let being_cleared = [PairKey::CLEARING, 5, 500];
    let table = table(&[being_cleared]);
    assert_eq!(table.sweep(&slots()), []);
    assert_eq!(lines(&table), [being_cleared]);
}
