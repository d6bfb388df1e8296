//! `cargo xtask dist`: makes what users install: static programs, Debian packages, and an archive for other distributions.

mod binaries;
mod debian;
mod files;
mod notices;
mod release;
mod tree;
mod trial;

use crate::root;
use binaries::Binaries;
use clap::Args;
use release::Release;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(
    after_help = "It needs Debian's rustc-web, cargo-web, rust-web-src, musl-tools and libunwind-22-dev; or rustup with \
the target x86_64-unknown-linux-musl, and musl-tools. `--try` needs debootstrap, and lintian. Maintainer and date of the \
packages are those of DEBFULLNAME, DEBEMAIL and SOURCE_DATE_EPOCH, and else of the latest commit: the same commit makes \
the same bytes."
)]
pub(crate) struct DistArguments {
    /// Where to write netns [default: target/dist/netns]; netns-cni, the packages and the archive are written beside it.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Pack the programs in this folder instead of compiling them.
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// Try what was made: lintian; install, upgrade, roll back and purge in a clean Debian, with systemd.
    #[arg(long = "try")]
    is_tried: bool,
    /// In the trial, upgrade from a package of this program [default: the one that was built].
    #[arg(long, value_name = "NETNS", requires = "is_tried")]
    earlier: Option<PathBuf>,
}

/// Makes everything, and tries it if asked to.
pub(crate) fn dist(arguments: &DistArguments) -> Result<(), String> {
    let root = root();
    let output = arguments.output.clone().unwrap_or_else(|| root.join("target/dist/netns"));
    let folder = output.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed("create", folder))?;
    let binaries = match &arguments.from {
        Some(from) => Binaries::read(from)?,
        None => Binaries::build(&root)?,
    };
    for (binary, path) in [(&binaries.netns, &output), (&binaries.cni, &folder.join("netns-cni"))] {
        files::write(path, 0o755, binary)?;
        println!("{}: {} bytes, static", path.display(), binary.len());
    }
    let release = Release::of(&root)?;
    let notices = notices::collect(&root)?;
    let [netns, cni] = debian::packages(&release, &binaries, &root, &notices)?;
    let packages = [netns.build(folder)?, cni.build(folder)?];
    let archive = tree::archive(&release, [&netns.tree, &cni.tree], folder)?;
    for path in packages.iter().chain([&archive]) {
        let length = fs::metadata(path).map_err(failed("look at", path))?.len();
        println!("{}: {length} bytes", path.display());
    }
    if !arguments.is_tried {
        return Ok(());
    }
    let earlier = match &arguments.earlier {
        Some(path) => Binaries { netns: fs::read(path).map_err(failed("read", path))?, ..binaries },
        None => binaries,
    };
    // It sorts before every version that will be.
    let before = Release { version: format!("{}~earlier", release.version), ..release };
    let [earlier, _] = debian::packages(&before, &earlier, &root, &notices)?;
    let earlier = earlier.build(folder)?;
    trial::try_all(folder, &packages, &earlier, &archive)
}

/// The message about a failed file operation.
fn failed(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{what} {}: {error}", path.display())
}
