//! What happens in containers and without root: the command line and the library in real engines' containers, in user
//! namespaces, and with few capabilities. `docs/containers.md` shows the tables; the tests compare every cell with what
//! happens.

mod answers;
mod bundle;
mod docs;
mod few;
mod first_sandbox;
mod lxc;
mod observed;
mod podman;
mod rows;
mod unshared;
mod world;
