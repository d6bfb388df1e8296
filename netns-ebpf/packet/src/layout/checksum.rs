//! Where the kernel keeps what it knows of a frame's checksum.

/// The read-only global (`u64`) that has [`ChecksumFields`] as a word; 0 where they are not known.
pub const CHECKSUM_FIELDS: &str = "CHECKSUM_FIELDS";

/// What follows this number, which the program puts into register 0 and never reads, is the instruction that user space
/// replaces by a call of the kernel's `bpf_cast_to_kern_ctx`, where there is one ([`SkbAccess::Direct`]).
pub const CAST_MARK: i32 = 0x0BAD_CA57;

/// How the program reads the kernel's `sk_buff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkbAccess {
    /// By a helper that copies (`bpf_probe_read_kernel`): some 28 ns, however little it copies.
    Copied = 1,
    /// In place, since Linux 6.2, as the verifier knows the structure.
    Direct = 2,
}

/// Where the kernel's `sk_buff` has the fields that say where a checksum was left to be written. They differ from kernel to
/// kernel, and are found in its types (BTF).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumFields {
    /// Where in the structure the bytes are that the others count from. The program copies [`Self::SPAN`] of them.
    pub start: u16,
    /// The byte that has `ip_summed`, two bits.
    pub kind: u8,
    /// How many bits of that byte are below those two.
    pub kind_shift: u8,
    /// `csum_start`, two bytes.
    pub sum_start: u8,
    /// `csum_offset`, two bytes.
    pub sum_offset: u8,
    /// `mac_header`, two bytes.
    pub frame: u8,
    /// How they are read.
    pub access: SkbAccess,
}

impl ChecksumFields {
    /// How many bytes hold all of them. (57 from 5.12 to 7.0.)
    pub const SPAN: usize = 64;

    /// As a word, which is not 0.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        let [a, b] = self.start.to_le_bytes();
        let Self { kind, kind_shift, sum_start, sum_offset, frame, access, .. } = self;
        u64::from_le_bytes([a, b, kind, kind_shift, sum_start, sum_offset, frame, access as u8])
    }

    /// What [`Self::to_word`] made a word of.
    #[must_use]
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        let [a, b, kind, kind_shift, sum_start, sum_offset, frame, access] = word.to_le_bytes();
        let access = if access == SkbAccess::Direct as u8 { SkbAccess::Direct } else { SkbAccess::Copied };
        Self { start: u16::from_le_bytes([a, b]), kind, kind_shift, sum_start, sum_offset, frame, access }
    }
}
