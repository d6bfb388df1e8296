//! The programs and what they are made of.
#![expect(
    clippy::inline_always,
    reason = "a call costs stack, of which there are 512 bytes, and what the verifier knows of the arguments"
)]

mod atomic;
mod count;
mod frame;
mod log;
mod maps;

use aya_ebpf::bindings::TC_ACT_UNSPEC;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;

use frame::Frame;

/// Frames that the port receives from its namespace.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "so the macro calls it")]
fn port_ingress(context: TcContext) -> i32 {
    count::received(&Frame::read(&context));
    TC_ACT_UNSPEC
}

/// Frames that leave through the port to its namespace.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "so the macro calls it")]
fn port_egress(context: TcContext) -> i32 {
    count::sent(&Frame::read(&context));
    TC_ACT_UNSPEC
}

/// The kernel asks it of whoever calls a helper that only GPL code may call; ours are free, aya-log's may not be.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Nothing in the program panics; the linker drops this.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
