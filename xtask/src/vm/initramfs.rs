//! What the kernel starts with: busybox, the modules by which the machine's root is reached, and the round.

use super::apt::{failed, package_of, run};
use super::kernel::Kernel;
use netns::Failure;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What reaches the root: PCI devices, a folder of the machine, and something to write to. And the line of the report,
/// where it is no serial one.
const MODULES: [&str; 4] = ["virtio_pci", "virtiofs", "overlay", "virtio_console"];
const BUSYBOX: &str = "bin/busybox";
/// The first program; it makes the root and hands over to `guest.sh`.
const INIT: &str = include_str!("init.sh");

/// Writes an initramfs to `image`, with busybox of `root` and these files in `/vm`, from `folder`, which it fills.
pub(super) fn write(
    kernel: &Kernel,
    root: &Path,
    files: &[(&str, &str)],
    folder: &Path,
    image: &Path,
) -> Result<(), Failure> {
    for place in ["bin", "modules", "vm", "proc", "sys", "dev", "root", "lower", "upper"] {
        let path = folder.join(place);
        fs::create_dir_all(&path).map_err(failed("make", &path))?;
    }
    fs::copy(root.join(BUSYBOX), folder.join(BUSYBOX))
        .map_err(|error| Failure::usage(format!("read /{BUSYBOX}: {error}{}", package_of("busybox"))))?;
    for (number, file) in with_dependencies(kernel)?.iter().enumerate() {
        unpack(&kernel.modules.join(file), &folder.join("modules"), number)?;
    }
    let modules = kernel.modules.parent().unwrap_or(&kernel.modules);
    let init = folder.join("init");
    let script = INIT.replace("@MODULES@", &modules.to_string_lossy());
    put(&init, &script.replace("@WORKSPACE@", &crate::root().to_string_lossy()))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))
        .map_err(failed("make executable", &init))?;
    for (name, content) in files {
        put(&folder.join("vm").join(name), content)?;
    }
    pack(folder, image)
}

/// The modules' files, each after those that it needs.
fn with_dependencies(kernel: &Kernel) -> Result<Vec<String>, Failure> {
    let path = kernel.modules.join("modules.dep");
    let text = fs::read_to_string(&path).map_err(failed("read", &path))?;
    let needs: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let is = |file: &str, module: &str| {
        Path::new(file)
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&format!("{module}.ko")))
    };
    let mut files: Vec<String> = Vec::new();
    for module in MODULES {
        // What is built in is no file.
        let Some((file, dependencies)) = needs.iter().find(|(file, _)| is(file, module)) else { continue };
        // The kernel's build lists the nearest first.
        for file in dependencies.split_whitespace().rev().chain([*file]) {
            if !files.iter().any(|known| known == file) {
                files.push(file.to_owned());
            }
        }
    }
    Ok(files)
}

/// Copies a module, unpacked, as the one with this number in the order of loading.
fn unpack(module: &Path, folder: &Path, number: usize) -> Result<(), Failure> {
    let content = match module.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => output(Command::new("xz").arg("-dc").arg(module))?,
        Some("zst") => output(Command::new("zstd").arg("-qdc").arg(module))?,
        _ => fs::read(module).map_err(failed("read", module))?,
    };
    let path = folder.join(format!("{number:03}.ko"));
    fs::write(&path, content).map_err(failed("write", &path))
}

fn output(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::usage(format!("run {program}: {error}{}", package_of(&program))))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure::usage(format!("{command:?} failed")))
    }
}

/// Packs a folder in the format that the kernel unpacks
/// (<https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>).
fn pack(folder: &Path, image: &Path) -> Result<(), Failure> {
    let script = "cd \"$0\" && find . | busybox cpio -o -H newc >\"$1\"";
    run(Command::new("sh").args(["-c", script]).arg(folder).arg(image)).map(|_| ())
}

fn put(path: &Path, content: &str) -> Result<(), Failure> {
    fs::write(path, content).map_err(failed("write", path))
}
