//! The guard as somebody else would try it: frames of an independent packet library, made after what other projects promise,
//! and what honest programs send that looks odd. `docs/guard.md` shows the tables; the tests hold every row of them against
//! what happens on a real bridge.

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
