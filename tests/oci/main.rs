//! Sandboxes under engines that take a namespace, and what engine authors trip over: `docs/engines.md`, whose code is
//! run here.

mod bundles;
mod docs;
mod podman;
mod recipes;
mod spawn;
mod systemd;
