//! Reading `sk_buff` in place: by a function of the kernel's ([kfunc](https://docs.kernel.org/bpf/kfuncs.html)), which the
//! program calls by a number that differs from kernel to kernel.
//!
//! The committed object has no such call, so that every kernel takes it: an instruction with a mark before it
//! ([`CAST_MARK`]) becomes one when the object is loaded. aya 0.14 knows nothing of such calls, and leaves them alone.

use std::io;
use std::os::fd::OwnedFd;

use super::bpf_call::{self, BpfCommand};
use crate::layout::CAST_MARK;

/// [The function](https://github.com/torvalds/linux/blob/v6.18/kernel/bpf/helpers.c), since Linux 6.2.
pub(super) const FUNCTION: &str = "bpf_cast_to_kern_ctx";

/// An instruction: code, registers (destination below), offset, immediate.
type BpfInstruction = [u8; 8];

const fn instruction(code: u8, registers: u8, offset: u16, immediate: i32) -> BpfInstruction {
    let ([low, high], [a, b, c, d]) = (offset.to_le_bytes(), immediate.to_le_bytes());
    [code, registers, low, high, a, b, c, d]
}

/// `r0 = CAST_MARK`, and `r0 = r1`.
const MARK: BpfInstruction = instruction(0xB7, 0, 0, CAST_MARK);
const PLACE: BpfInstruction = instruction(0xBF, 0x10, 0, 0);

/// `call` of the function of this number (`BPF_PSEUDO_KFUNC_CALL`).
const fn call(function: u32) -> BpfInstruction {
    instruction(0x85, 0x20, 0, function.cast_signed())
}

/// The object, with a call of this function in each place for one.
pub(super) fn with_calls(object: &[u8], function: u32) -> Vec<u8> {
    let mut object = object.to_vec();
    // Code is aligned in the file as its instructions are.
    let (instructions, _) = object.as_chunks_mut::<8>();
    let mut is_marked = false;
    for instruction in instructions {
        if is_marked && *instruction == PLACE {
            *instruction = call(function);
        }
        is_marked = *instruction == MARK;
    }
    object
}

/// Whether the kernel takes a classifier that calls this function and reads the byte at this place of `sk_buff`. It wants its
/// compiler (JIT) for that, which may be switched off.
pub(super) fn is_allowed(function: u32, place: u16) -> bool {
    let read = instruction(0x71, 0x01, place, 0);
    let [zero, exit] = [instruction(0xB7, 0, 0, 0), instruction(0x95, 0, 0, 0)];
    load(&[call(function), read, zero, exit]).is_ok()
}

const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;

/// The first members of `bpf_attr` for a program.
#[repr(C)]
struct ProgramAttr {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

const _: () = assert!(size_of::<ProgramAttr>() == 24 && std::mem::offset_of!(ProgramAttr, license) == 16);

fn load(instructions: &[BpfInstruction]) -> io::Result<OwnedFd> {
    let mut attr = ProgramAttr {
        kind: BPF_PROG_TYPE_SCHED_CLS,
        count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    // SAFETY: `ProgramAttr` is what the command takes, and points to as many instructions as it says and to a string that ends with
    // NUL, which the kernel only reads. It answers with a descriptor.
    unsafe { bpf_call::open(BpfCommand::ProgLoad, &mut attr) }
}

#[cfg(test)]
mod tests;
