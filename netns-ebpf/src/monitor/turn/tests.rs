use super::{holding, is_free, other_set, settled};
use crate::layout::control::{ACTIVE, ENFORCE, MODE, OFF};

/// A slot, and a program that may read one of its sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Model {
    control: u32,
    /// The set that a program goes on reading that began some time ago.
    reader: Option<usize>,
}

impl Model {
    /// Every state that can come next. A program begins only by what holds, and ends whenever it likes.
    fn next(self) -> Vec<Self> {
        let holds = self.control & MODE != OFF;
        let mut next = vec![Self { reader: None, ..self }];
        if holds {
            next.push(Self { reader: Some(usize::from(self.control & ACTIVE != 0)), ..self });
            next.push(Self { control: self.control & !MODE, ..self });
        }
        let set = other_set(self.control);
        if is_free(self.control) {
            assert_ne!(self.reader, Some(set), "a program reads what is written: {self:?}");
            next.push(Self { control: holding(self.control, set) | ENFORCE, ..self });
        } else {
            // The grace period ends when every program has that began before it; those that begin in it, by what holds, may go
            // on.
            let control = settled(self.control, holds);
            assert!(is_free(control));
            next.push(Self { control, reader: None });
            if holds {
                next.push(Self { control, reader: Some(1 - set) });
            }
        }
        next
    }
}

#[test]
fn no_program_reads_what_is_written() {
    let mut seen = std::collections::HashSet::new();
    let mut new = vec![Model { control: OFF, reader: None }];
    while let Some(model) = new.pop() {
        if seen.insert(model) {
            new.extend(model.next());
        }
    }
    assert!(seen.len() > 12, "{}", seen.len());
}

#[test]
fn of_a_slot_that_had_no_rules_two_sets_are_free() {
    let once = holding(OFF, other_set(OFF)) | ENFORCE;
    assert!(is_free(OFF) && is_free(once));
    let twice = holding(once, other_set(once)) | ENFORCE;
    assert!(!is_free(twice) && is_free(settled(twice, true)));
}
