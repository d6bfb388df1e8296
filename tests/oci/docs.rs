//! The code in `docs/engines.md` is the code that is run.

const PAGE: &str = include_str!("../../docs/engines.md");
const RUN: &str = include_str!("recipes.rs");

#[test]
fn the_code_in_the_docs_is_what_is_run() {
    let run = RUN.replace("pub(crate) fn", "fn");
    let blocks: Vec<&str> =
        PAGE.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), run.matches("\nfn ").count(), "each function is shown");
    for block in blocks {
        assert!(run.contains(block), "not in tests/oci/recipes.rs:\n{block}");
    }
}
