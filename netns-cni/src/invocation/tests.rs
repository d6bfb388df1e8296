use super::*;
use std::collections::BTreeMap;

fn read(variables: &[(&str, &str)]) -> Outcome<Option<Invocation>> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    Invocation::read(|name| variables.get(name).map(OsString::from))
}

#[test]
fn each_variable_is_missed_by_the_commands_that_need_it() {
    let all = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"];
    for (command, needed) in [
        ("ADD", &all[..3]),
        ("CHECK", &all[..3]),
        ("DEL", &["CNI_CONTAINERID", "CNI_IFNAME"]),
        ("GC", &["CNI_PATH"]),
        ("STATUS", &[]),
        ("VERSION", &[]),
    ] {
        for left_out in all {
            let mut variables = vec![("CNI_COMMAND", command)];
            variables.extend(all.iter().filter(|name| **name != left_out).map(|name| (*name, "value")));
            match read(&variables) {
                Ok(_) => assert!(!needed.contains(&left_out), "{command} without {left_out}"),
                Err(failure) => {
                    assert!(needed.contains(&left_out), "{command} without {left_out}: {failure}");
                    assert_eq!(failure.code, 4);
                    assert!(failure.message.ends_with(left_out), "{failure}");
                }
            }
        }
        let failure = read(&[("CNI_COMMAND", command)]);
        assert_eq!(failure.is_err(), !needed.is_empty(), "{command}: {failure:?}");
        if let Err(failure) = failure {
            assert!(failure.message.ends_with(&needed.join(", ")), "{failure}");
        }
    }
}

#[test]
fn values_that_make_no_sense_are_named() {
    let good =
        [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "a.b_c-1"), ("CNI_NETNS", "/x"), ("CNI_IFNAME", "e")];
    assert!(read(&good).unwrap().is_some());
    for (name, value) in [
        ("CNI_COMMAND", "add"),
        ("CNI_CONTAINERID", "-a"),
        ("CNI_CONTAINERID", "a/b"),
        ("CNI_IFNAME", ".."),
        ("CNI_IFNAME", "a:b"),
        ("CNI_IFNAME", "a b"),
        ("CNI_IFNAME", "abcdefghijklmnop"),
    ] {
        let mut variables = good.to_vec();
        variables.push((name, value));
        let failure = read(&variables).unwrap_err();
        assert_eq!(failure.code, 4);
        assert!(failure.message.contains(name) && failure.message.contains(value), "{failure}");
    }
    assert!(read(&[]).unwrap().is_none());
}
