//! A tree of files to be packed.

use super::failed;
use super::files::{gzip, output, write};
use super::release::Release;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tree, below a folder.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: PathBuf,
}

impl Tree {
    /// An empty one.
    pub(super) fn new(root: PathBuf) -> Result<Self, String> {
        match fs::remove_dir_all(&root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("empty", &root)(error));
            }
            _ => {}
        }
        fs::create_dir_all(&root).map_err(failed("create", &root))?;
        Ok(Self { root })
    }

    /// A folder in it, with its parents.
    pub(super) fn folder(&self, path: &str) -> Result<PathBuf, String> {
        let folder = self.root.join(path);
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        Ok(folder)
    }

    /// A file in it.
    pub(super) fn file(&self, path: &str, mode: u32, contents: &[u8]) -> Result<(), String> {
        self.folder(path.rsplit_once('/').map_or("", |(folder, _)| folder))?;
        write(&self.root.join(path), mode, contents)
    }

    /// A copy of a file.
    pub(super) fn copy(&self, from: &Path, path: &str) -> Result<(), String> {
        self.file(path, 0o644, &fs::read(from).map_err(failed("read", from))?)
    }

    /// A copy of a folder with its contents, except what cargo built there.
    pub(super) fn copy_folder(&self, from: &Path, path: &str) -> Result<(), String> {
        for entry in fs::read_dir(from).map_err(failed("read", from))? {
            let entry = entry.map_err(failed("read", from))?;
            let (source, name) = (entry.path(), entry.file_name());
            let target = format!("{path}/{}", name.to_string_lossy());
            match source.is_dir() {
                true if name == "target" => {}
                true => self.copy_folder(&source, &target)?,
                false => self.copy(&source, &target)?,
            }
        }
        Ok(())
    }

    /// A compressed file in it, with the fitting suffix.
    pub(super) fn compressed(&self, path: &str, contents: &[u8]) -> Result<(), String> {
        self.file(&format!("{path}.gz"), 0o644, &gzip(contents)?)
    }

    /// Makes files and folders readable for everybody, whatever this process's umask is.
    pub(super) fn open_to_all(&self) -> Result<(), String> {
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            set_mode(&folder, 0o755)?;
            for entry in fs::read_dir(&folder).map_err(failed("read", &folder))? {
                let path = entry.map_err(failed("read", &folder))?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let mode = fs::metadata(&path).map_err(failed("look at", &path))?.permissions().mode();
                set_mode(&path, if mode & 0o100 == 0 { 0o644 } else { 0o755 })?;
            }
        }
        Ok(())
    }

    /// The paths of all files in it, in their order.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, String> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(failed("read", &folder))? {
                let path = entry.map_err(failed("read", &folder))?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.strip_prefix(&self.root).unwrap_or(&path).to_owned());
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), String> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("change", path))
}

/// Packs what the packages have below `/usr` into an archive for `/usr/local`; returns its path.
pub(super) fn archive(release: &Release, trees: [&Tree; 2], folder: &Path) -> Result<PathBuf, String> {
    let name = format!("netns-{}-x86_64-linux", release.version);
    let tree = Tree::new(folder.join("tree/archive"))?;
    for from in trees {
        for path in from.files()? {
            let Ok(below) = path.strip_prefix("usr") else { continue };
            let source = from.root.join(&path);
            let target = tree.root.join(&name).join(below);
            let above = target.parent().unwrap_or(&tree.root);
            fs::create_dir_all(above).map_err(failed("create", above))?;
            fs::copy(&source, &target).map_err(failed("copy", &source))?;
        }
    }
    tree.open_to_all()?;
    let mut tar = Command::new("tar");
    tar.current_dir(&tree.root).args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--format=gnu",
    ]);
    let packed = output(tar.arg(format!("--mtime=@{}", release.epoch)).args(["-cf", "-", &name]))?;
    let path = folder.join(format!("{name}.tar.gz"));
    write(&path, 0o644, &gzip(&packed)?)?;
    Ok(path)
}
