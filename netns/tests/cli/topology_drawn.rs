//! `show --dot` and `show --svg`, read by the programs that draw them.

use crate::topology::{EXAMPLES, example, fine};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests::{in_host, oracle};

/// What a tool prints for this input, which it reads without complaint.
fn read_by(tool: &mut Command, text: &str) -> String {
    let tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{complaint}\n{text}");
    String::from_utf8(output.stdout).unwrap()
}

/// The strings in a list of JSON objects.
fn strings(list: &Value, of: impl Fn(&Value) -> String) -> Vec<String> {
    let mut strings: Vec<String> = list.as_array().into_iter().flatten().map(of).collect();
    strings.sort();
    strings
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Names with characters that have a meaning in these languages.
fn odd() -> PathBuf {
    let file = PathBuf::from("/run/odd.toml");
    let text = r#"
        apart = [["a&b", "<c>"]]
        ["bridge"."b<&>r"]
        addresses = ["10.1.1.254/24"]
        [namespace."x\"y"]
        interface."e\\0" = { bridge = "b<&>r", port = { name = "p\"1" }, policy = { group = "a&b" } }
        [namespace."<n>&"]
        interface.e = { bridge = "b<&>r", port = { name = "p->2" }, policy = { group = "<c>" } }
    "#;
    std::fs::write(&file, text).unwrap();
    file
}

/// All examples, and one that no one would write.
fn files() -> impl Iterator<Item = PathBuf> {
    EXAMPLES.into_iter().map(example).chain([odd()])
}

/// The nodes of a graph as described, and its edges, each with both ends in order.
fn described(file: &Path) -> (Vec<String>, Vec<String>) {
    let json: Value = serde_json::from_str(&fine("show --json", file)).unwrap();
    let bridge = |place: &Value, name: &Value| format!("{}/{}", text(place), text(name));
    let mut nodes = strings(&json["namespaces"], text);
    nodes.extend(strings(&json["bridges"], |found| bridge(&found["place"], &found["ifname"])));
    let mut edges = strings(&json["cables"], |cable| {
        let node = |end: &Value| match &end["master"] {
            Value::Null => text(&end["place"]),
            master => bridge(&end["place"], master),
        };
        format!("{} -- {}", node(&cable[0]), node(&cable[1]))
    });
    // A bridge with an address is also an interface of its namespace.
    for found in json["bridges"].as_array().unwrap() {
        if found["addresses"].as_array().is_some_and(|addresses| !addresses.is_empty()) {
            edges.push(format!("{} -- {}", text(&found["place"]), bridge(&found["place"], &found["ifname"])));
        }
    }
    if edges.iter().any(|edge| edge.starts_with("host -- ")) {
        nodes.push("host".to_owned());
    }
    nodes.sort();
    edges.sort();
    (nodes, edges)
}

#[test]
fn graphviz_draws_every_node_and_every_edge() {
    in_host(|_| {
        for file in files() {
            let dot = fine("show --dot", &file);
            let drawn: Value = serde_json::from_str(&read_by(oracle("dot").arg("-Tjson"), &dot)).unwrap();
            let name = |number: &Value| drawn["objects"][number.as_u64().unwrap() as usize]["name"].clone();
            let nodes = strings(&drawn["objects"], |node| text(&node["name"]));
            let edges = strings(&drawn["edges"], |edge| {
                format!("{} -- {}", text(&name(&edge["tail"])), text(&name(&edge["head"])))
            });
            assert_eq!((nodes, edges), described(&file), "{}", file.display());
        }
    });
}

#[test]
fn pictures_are_well_formed() {
    in_host(|_| {
        for file in files() {
            let _ = read_by(oracle("xmllint").args(["--noout", "-"]), &fine("show --svg", &file));
        }
        let arguments = "run --isolated --attack --duration 0.5 --interval 0.2 --screenshot /run/view.svg";
        let run = crate::done(&mut crate::xtask(arguments));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
        let picture = std::fs::read_to_string("/run/view.svg").unwrap();
        let _ = read_by(oracle("xmllint").args(["--noout", "-"]), &picture);
    });
}
