//! The table of reasons in docs/reasons.md equals the code's.

use netns_ebpf::packet::Reason;
use std::fs;
use std::path::Path;

const BEGIN: &str = "| reason | what it means |\n";
const END: &str = "<!-- end -->";

#[test]
fn the_page_lists_every_reason_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reasons.md");
    let page = fs::read_to_string(&path).unwrap();
    let rows = Reason::ALL.iter().map(|reason| format!("| `{reason}` | {} |\n", reason.description()));
    let table: String = [BEGIN.to_owned(), "| --- | --- |\n".to_owned()].into_iter().chain(rows).collect();
    let begin = page.find(BEGIN).expect("the table's head");
    let end = begin + page[begin..].find(END).expect("the table's end");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, [&page[..begin], &table, &page[end..]].concat()).unwrap();
    } else {
        assert_eq!(page[begin..end], table, "UPDATE=1 cargo test -p tests --test reasons");
    }
}
