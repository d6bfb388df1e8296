//! Which numbers names get.

use super::{Group, GroupNumbers, number};

fn names(names: &[&str]) -> Vec<Group> {
    names.iter().map(|name| Group::Name((*name).to_owned())).collect()
}

fn numbered(groups: &[Group], before: &[(&str, u8)]) -> Vec<(String, u8)> {
    let before: GroupNumbers = before.iter().map(|&(name, number)| (name.to_owned(), number)).collect();
    number(groups.iter(), &before).unwrap().into_iter().collect()
}

fn expected(numbers: &[(&str, u8)]) -> Vec<(String, u8)> {
    numbers.iter().map(|&(name, number)| (name.to_owned(), number)).collect()
}

#[test]
fn a_name_keeps_its_number_and_a_new_name_gets_an_unused_one() {
    assert_eq!(numbered(&names(&["b", "a", "b"]), &[]), expected(&[("a", 2), ("b", 1)]));
    // `a` goes, `c` comes: not with the number of `a`, which ports still have.
    let before = [("a", 2), ("b", 1)];
    assert_eq!(numbered(&names(&["b", "c"]), &before), expected(&[("b", 1), ("c", 3)]));
    assert_eq!(numbered(&names(&["c", "b"]), &before), expected(&[("b", 1), ("c", 3)]));
}

#[test]
fn a_number_in_the_file_is_given_to_no_name() {
    let mut groups = names(&["a", "b"]);
    groups.extend([Group::Number(1), Group::Number(3)]);
    assert_eq!(numbered(&groups, &[("a", 1)]), expected(&[("a", 2), ("b", 4)]));
    // Numbers that no name can have had, in any record.
    assert_eq!(numbered(&names(&["a", "b"]), &[("a", 64), ("b", 0)]), expected(&[("a", 1), ("b", 2)]));
}

#[test]
fn there_are_sixty_three_names_with_numbers() {
    let all: Vec<String> = (0..64).map(|number| format!("g{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let groups = names(&all[..63]);
    let numbers = number(groups.iter(), &GroupNumbers::new()).unwrap();
    assert_eq!(numbers.values().max(), Some(&63));
    assert_eq!(number(names(&all).iter(), &GroupNumbers::new()), Err("g63"));
    // Once every number has been used, one that a name had before.
    let mut others = names(&all[1..63]);
    others.push(Group::Name("new".to_owned()));
    assert_eq!(number(others.iter(), &numbers).unwrap()["new"], numbers["g0"]);
}
