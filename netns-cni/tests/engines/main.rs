//! The plugins, called by real engines: containerd's `ctr` and its CRI, and podman. Each engine runs on a machine of the
//! test's own, first with our program in the folder of plugins, then with Debian's, and what it made of the containers has to
//! be the same. `docs/engines.md` says what is needed.

mod containerd;
mod cri;
mod daemons;
mod image;
mod installed;
mod netavark;
mod network;
mod nodes;
mod podman;
mod podman_networks;
