//! Whether the compiled program has this machine's byte order.
//!
//! BPF has the byte order of the machine that it runs on, and the committed object is compiled for little-endian ones.
//! aya would read a foreign object's instructions in the wrong order, and what the verifier then says helps nobody.

use super::MonitorError;

/// `EI_DATA`: where an ELF file names its byte order.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/elf.h>
const EI_DATA: usize = 5;
/// This machine's: `ELFDATA2LSB` or `ELFDATA2MSB`.
const OURS: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };

/// Refuses an object of the other byte order.
pub(super) fn check(object: &[u8]) -> Result<(), MonitorError> {
    if object.get(EI_DATA) == Some(&OURS) { Ok(()) } else { Err(MonitorError::ByteOrder) }
}

#[cfg(test)]
mod tests {
    use super::{EI_DATA, check};
    use crate::MonitorError;

    /// An ELF header's beginning, of this byte order.
    fn identification(byte_order: u8) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(b"\x7FELF");
        bytes[EI_DATA] = byte_order;
        bytes
    }

    #[test]
    fn the_other_byte_order_is_refused() {
        let (little, big) = (check(&identification(1)), check(&identification(2)));
        let (ours, foreign) = if cfg!(target_endian = "little") { (little, big) } else { (big, little) };
        assert!(ours.is_ok());
        let error = foreign.unwrap_err();
        assert!(matches!(error, MonitorError::ByteOrder), "{error}");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(check(b"\x7FELF").is_err());
    }

    /// Runs on s390x only: `cargo xtask cross --test`.
    #[cfg(target_endian = "big")]
    #[test]
    fn a_big_endian_machine_cannot_load_the_program() {
        use crate::{Monitor, MonitorOptions};
        let error = Monitor::load(&MonitorOptions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the compiled eBPF program is for little-endian machines, and this machine is big-endian"
        );
    }
}
