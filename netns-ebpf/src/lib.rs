//! Shared with the eBPF program.
