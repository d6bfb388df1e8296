//! Tests of the program and the monitor on the real kernel, in namespaces of their own.

mod attach;
mod attack;
mod barrier;
mod captured;
mod checksums;
mod claims;
mod constants;
mod copies;
mod counters;
mod egress;
mod guard;
mod harness;
mod host;
mod journal;
mod judging;
mod load;
mod log;
mod network;
mod offloads;
mod pairs;
mod reopen;
mod slots;
mod tcx;
mod traffic;
mod verdicts;
