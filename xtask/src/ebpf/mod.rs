//! `cargo xtask ebpf build` and `check`: the compiled program that the repository holds, made and verified.
//!
//! The object is committed so that nobody needs an eBPF toolchain to use it. What makes that safe is the check: the
//! same toolchain makes the same bytes of the same source, whatever the folder it is built in.

mod btf;
mod compare;
mod object;
mod toolchain;

use std::fs;
use std::path::Path;

use crate::root;
use toolchain::Toolchain;

/// Where the object is, from the workspace's root.
const OBJECT: &str = "netns-ebpf/object/netns-ebpf.o";
/// Beside it, what it was built with: a difference may come from there.
const BUILT_WITH: &str = "netns-ebpf/object/built-with.txt";

/// Builds the program and writes the object that the library includes.
pub(crate) fn build() -> Result<(), String> {
    let root = root();
    let toolchain = Toolchain::find()?;
    let object = compile(&toolchain, &root)?;
    write(&root.join(OBJECT), &object)?;
    write(&root.join(BUILT_WITH), toolchain.to_string().as_bytes())?;
    println!("{OBJECT}: {} bytes, built with\n{toolchain}", object.len());
    Ok(())
}

/// Builds the program and compares it with the committed object, which stays as it is.
pub(crate) fn check() -> Result<(), String> {
    let root = root();
    let committed = fs::read(root.join(OBJECT)).map_err(|error| format!("read {OBJECT}: {error}"))?;
    let toolchain = Toolchain::find()?;
    let rebuilt = compile(&toolchain, &root)?;
    if committed == rebuilt {
        println!("{OBJECT} is what the source makes, byte for byte");
        return Ok(());
    }
    let differences = compare::differences(&committed, &rebuilt)?;
    if differences.is_empty() {
        println!(
            "{OBJECT} has the instructions, maps and types that the source makes; only line information or names \
             differ"
        );
        return Ok(());
    }
    Err(format!(
        "{OBJECT} is not what the source makes: run `cargo xtask ebpf build` and commit the result\n{}{}",
        differences.join("\n"),
        other_toolchain(&root, &toolchain)
    ))
}

/// A remark, if the committed object was built with something else.
fn other_toolchain(root: &Path, toolchain: &Toolchain) -> String {
    let here = toolchain.to_string();
    match fs::read_to_string(root.join(BUILT_WITH)) {
        Ok(there) if there != here => format!(
            "\nThe committed object was built with another toolchain, which alone can make the difference:\n{there}\
             here it is\n{here}"
        ),
        _ => String::new(),
    }
}

/// The program, compiled and without what only a debugger needs.
fn compile(toolchain: &Toolchain, root: &Path) -> Result<Vec<u8>, String> {
    let path = toolchain.compile(root)?;
    let object = fs::read(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
    object::strip(&object).map_err(|error| format!("strip {}: {error}", path.display()))
}

fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("write {}: {error}", path.display()))
}
