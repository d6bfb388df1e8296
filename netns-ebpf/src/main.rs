//! The eBPF program: one classifier for each direction of a bridge port.
//!
//! A frame is read (what the kernel says of it), counted and judged: a pure function of its bytes and the port's policy.
//! To let it pass is `TC_ACT_UNSPEC`: "nothing to say", so that filters which other people attached after ours still run.
//!
//! Built by `cargo xtask ebpf build`, never by a plain `cargo build`.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod program;

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("this program runs in the kernel; `cargo xtask ebpf build` builds it");
    std::process::exit(1);
}
