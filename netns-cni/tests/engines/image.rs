//! An image of busybox, as `docker save` writes them.

use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{Machine, run};

/// The image's name. No registry has it.
pub(crate) const NAME: &str = "netns.invalid/busybox:1";

/// Makes an archive of an image of one layer, whose containers serve.
pub(crate) fn make_archive() -> PathBuf {
    let (root, folder) = (tests::busybox_root(), Path::new(Machine::FOLDER).join("image"));
    fs::create_dir_all(&folder).expect("a folder");
    pack(&root, ".", &folder.join("layer.tar"));
    let sum = run(Command::new("sha256sum").arg(folder.join("layer.tar")));
    let sum = sum.split_whitespace().next().expect("a sum");
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": tests::SERVE },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{sum}")] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"] }]);
    fs::write(folder.join("config.json"), config.to_string()).expect("a file");
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("a file");
    let archive = Path::new(Machine::FOLDER).join("image.tar");
    pack(&folder, "manifest.json config.json layer.tar", &archive);
    archive
}

fn pack(folder: &Path, names: &str, archive: &Path) {
    let mut command = Command::new("tar");
    command.args(["--owner=0", "--group=0", "-C"]).arg(folder).arg("-cf").arg(archive);
    let _ = run(command.args(names.split_whitespace()));
}
