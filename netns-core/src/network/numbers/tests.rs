use super::Numbers;

#[test]
fn numbers_come_in_order_and_end() {
    let mut numbers = Numbers::new(3);
    assert_eq!([0; 4].map(|_| numbers.take()), [Some(0), Some(1), Some(2), None]);
    assert_eq!((numbers.used(), numbers.leaving(), numbers.available()), (3, 0, false));
}

#[test]
fn a_number_is_not_used_again_before_the_kernel_has_reclaimed_its_port() {
    let mut numbers = Numbers::new(2);
    numbers.take();
    numbers.take();
    numbers.leave(0);
    assert_eq!((numbers.take(), numbers.leaving()), (None, 1));
    numbers.reclaimed(0);
    assert_eq!((numbers.take(), numbers.leaving()), (Some(0), 0));
}

#[test]
fn what_was_free_first_is_used_first_and_before_what_never_was() {
    let mut numbers = Numbers::new(10);
    for _ in 0..4 {
        numbers.take();
    }
    for number in [2, 0, 3] {
        numbers.leave(number);
        numbers.reclaimed(number);
    }
    assert_eq!([0; 4].map(|_| numbers.take().unwrap()), [2, 0, 3, 4]);
}

#[test]
fn a_slot_is_given_back_once_and_only_when_the_port_is_gone() {
    let mut numbers = Numbers::new(2);
    numbers.take();
    numbers.set_slot(0, 7);
    assert_eq!(numbers.leave(0), None);
    assert_eq!(numbers.reclaimed(0), Some(7));
    assert_eq!(numbers.reclaimed(0), None);
    assert_eq!(numbers.leave(0), None);
}

#[test]
fn a_port_that_somebody_else_deleted_is_not_waited_for() {
    let mut numbers = Numbers::new(1);
    numbers.take();
    numbers.set_slot(0, 7);
    assert_eq!(numbers.reclaimed(0), None);
    assert_eq!((numbers.take(), numbers.used()), (None, 1));
    assert_eq!(numbers.leave(0), Some(7));
    assert_eq!((numbers.take(), numbers.leaving()), (Some(0), 0));
}

#[test]
fn a_notice_of_a_number_that_nobody_has_changes_nothing() {
    let mut numbers = Numbers::new(2);
    assert_eq!(numbers.reclaimed(1), None);
    numbers.take();
    numbers.leave(0);
    numbers.reclaimed(0);
    numbers.reclaimed(0);
    assert_eq!([numbers.take(), numbers.take(), numbers.take()], [Some(0), Some(1), None]);
}
