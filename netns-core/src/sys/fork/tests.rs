use super::{thread_id, word_wiped_on_fork};
use crate::namespace::{notice_fork, this_thread};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

/// Runs `check` in a fork of this process; returns whether it returned true. It may not allocate, lock or panic: the
/// process has other threads, which may hold what that needs.
fn in_fork(check: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child calls `check`, which does what is allowed after a fork (its caller sees to that), and ends
    // without running anything of the parent's.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let code = i32::from(!check());
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to `status`, which outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status == 0
}

#[test]
fn the_word_is_zero_in_every_fork_and_stays_here() {
    let word = word_wiped_on_fork().unwrap();
    assert_eq!(word.swap(7, Relaxed), 0);
    assert!(in_fork(|| word.swap(8, Relaxed) == 0 && in_fork(|| word.load(Relaxed) == 0)));
    assert_eq!(word.load(Relaxed), 7);
}

#[test]
fn a_thread_knows_its_own_id() {
    let here = this_thread();
    assert_eq!((here, this_thread()), (thread_id(), thread_id()));
    let there = thread::spawn(|| (this_thread(), thread_id())).join().unwrap();
    assert_eq!(there.0, there.1);
    assert_ne!(there.0, here);
}

#[test]
fn a_fork_does_not_take_its_parents_id_for_its_own() {
    let here = this_thread();
    let knows = || this_thread() == thread_id() && this_thread() != here;
    assert!(in_fork(|| knows() && in_fork(knows)));
    assert_eq!(this_thread(), here);
}

#[test]
fn nor_does_it_if_another_thread_noticed_the_fork_first() {
    let here = this_thread();
    // What another thread would do by asking for its own.
    assert!(in_fork(|| {
        notice_fork();
        this_thread() == thread_id() && this_thread() != here
    }));
}
