//! Bytes in and out, without a kernel.

mod message;
mod random;
mod reader;
mod writer;

pub(crate) use random::Random;
