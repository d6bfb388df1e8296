//! The guard as somebody else would test it: frames from an independent packet library, made from what other projects
//! promise, and odd-looking traffic of honest programs. `docs/guard.md` shows the tables; the tests compare every row
//! with what happens on a real bridge.

mod checks;
mod denied;
mod docs;
mod everything;
mod honest;
mod lab;
mod observed;
mod sender;
mod sets;
mod ways;
