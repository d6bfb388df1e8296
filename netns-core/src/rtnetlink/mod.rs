//! rtnetlink: one object a file, plain request structures, and functions that send them.
#![forbid(unsafe_code)]

pub mod address;
pub mod bridge;
mod describe;
pub mod events;
pub mod link;
pub mod neighbour;
pub mod nsid;
pub mod option;
pub mod route;
pub(crate) mod socket;
pub mod tc;
pub use link::kind::veth;
mod words;

#[cfg(test)]
mod tests;
