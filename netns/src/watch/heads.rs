//! Names that do not fit: they are cut where they do not differ.

use std::collections::HashMap;

/// The first characters of a text, the last of them a mark if some are left out.
pub(super) fn short(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// As [`short`], for names that stand side by side: names that would look alike keep the part that differs, which is
/// their end or both ends.
pub(super) fn distinct(names: &[String], width: usize) -> Vec<String> {
    let mut cut: Vec<String> = names.iter().map(|name| short(name, width)).collect();
    // The least: a mark, and a character on either side.
    if width < 3 {
        return cut;
    }
    let mut alike: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, head) in cut.iter().enumerate() {
        alike.entry(head).or_default().push(place);
    }
    let alike: Vec<Vec<usize>> = alike.into_values().filter(|places| places.len() > 1).collect();
    for places in alike {
        // As much of the beginning as leaves them different.
        let room = width - 1;
        let heads = |front: usize| -> Vec<String> {
            places.iter().map(|&place| shortened(&names[place], width, front)).collect()
        };
        let best = (0..room).rev().map(heads).max_by_key(|heads| different(heads));
        for (&place, head) in places.iter().zip(best.into_iter().flatten()) {
            cut[place] = head;
        }
    }
    cut
}

/// So many characters of a name's beginning, a mark, and its end.
fn shortened(name: &str, width: usize, front: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let end = name.chars().skip(length - (width - 1 - front));
    name.chars().take(front).chain(['…']).chain(end).collect()
}

fn different(heads: &[String]) -> usize {
    let mut heads: Vec<&String> = heads.iter().collect();
    heads.sort_unstable();
    heads.dedup();
    heads.len()
}

#[cfg(test)]
mod tests {
    use super::{distinct, short};

    #[test]
    fn what_differs_is_kept() {
        let cut = |names: &[&str], width| {
            distinct(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), width)
        };
        assert_eq!(cut(&["ns1", "ns2"], 7), ["ns1", "ns2"]);
        assert_eq!(cut(&["frontend", "database"], 6), ["front…", "datab…"]);
        // Both would be `conta…`, so their ends are shown; the third differs in its beginning.
        let cuts = cut(&["container-a", "container-b", "other-thing"], 6);
        assert!(cuts[0].ends_with('a') && cuts[1].ends_with('b') && cuts[2] == "other…", "{cuts:?}");
        // They differ only in the middle.
        let cuts = cut(&["pod-1-web", "pod-2-web"], 8);
        assert_ne!(cuts[0], cuts[1]);
        let cuts = cut(&["a-very-long-name-1-of-a-pod", "a-very-long-name-2-of-a-pod", "x"], 7);
        assert!(cuts.iter().all(|head| head.chars().count() <= 7), "{cuts:?}");
        // Names that are the same stay the same.
        assert_eq!(cut(&["the-same-name", "the-same-name"], 6).len(), 2);
        assert_eq!(cut(&["éééééééé1", "éééééééé2"], 4)[0].chars().count(), 4);
        assert_eq!(short("abcdef", 3), "ab…");
        assert_eq!(cut(&["abcdef", "abcdeg"], 2), ["a…", "a…"]);
    }
}
