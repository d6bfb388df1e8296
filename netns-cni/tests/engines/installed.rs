//! Whose plugins a machine has.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tests::Machine;

/// Which plugins engines find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Installed {
    Ours,
    Debians,
}

impl Installed {
    const DEBIANS: &str = "/usr/lib/cni";

    /// Boots a machine that has them.
    pub(crate) fn boot(self) -> Machine {
        fs::create_dir_all(Machine::FOLDER).expect("a folder");
        self.install(&Path::new(Machine::FOLDER).join("plugins"));
        Machine::boot()
    }

    fn install(self, folder: &Path) {
        if !Path::new(Self::DEBIANS).is_dir() {
            tests::skip(&format!(
                "{} missing; run: apt-get install containernetworking-plugins",
                Self::DEBIANS
            ));
        }
        if self == Self::Debians {
            return symlink(Self::DEBIANS, folder).expect("a link");
        }
        fs::create_dir_all(folder).expect("a folder");
        for name in ["netns-cni", "bridge", "host-local", "loopback", "portmap", "tuning"] {
            symlink(env!("CARGO_BIN_EXE_netns-cni"), folder.join(name)).expect("a link");
        }
    }
}
