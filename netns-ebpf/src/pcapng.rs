//! Writing offending frames down for tcpdump and Wireshark: [pcapng], which has room for the reason beside each.
//!
//! [pcapng]: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::ViolationEvent;

const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// By which a reader knows the byte order.
const MAGIC: u32 = 0x1A2B_3C4D;
const ETHERNET: u16 = 1;
const COMMENT: u16 = 1;
/// The option that says what unit times are in, and 10⁻⁹ seconds.
const RESOLUTION: u16 = 9;
const NANOSECONDS: u8 = 9;

/// Writes events into a file.
#[derive(Debug)]
pub struct PcapWriter<W> {
    out: W,
    /// When `CLOCK_MONOTONIC`, in which events have their times, was 0.
    origin: Duration,
}

impl<W: Write> PcapWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// What writing returned.
    pub fn new(out: W) -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut writer = Self { out, origin: now.saturating_sub(monotonic()) };
        // Version 1.0, of a length that is not known.
        let section = [&MAGIC.to_ne_bytes()[..], &1_u16.to_ne_bytes(), &0_u16.to_ne_bytes(), &[0xFF; 8]];
        writer.block(SECTION, &section.concat())?;
        // Frames of any length.
        let head = [&ETHERNET.to_ne_bytes()[..], &[0; 2], &[0; 4]].concat();
        let options = option(RESOLUTION, &[NANOSECONDS]);
        writer.block(INTERFACE, &[&head[..], &options, &END].concat())?;
        Ok(writer)
    }

    /// Appends an event's frame, with `comment` beside it: the reason, and what the caller knows of the port.
    ///
    /// # Errors
    /// What writing returned.
    pub fn write(&mut self, event: &ViolationEvent<'_>, comment: &str) -> io::Result<()> {
        // A tag that the kernel took out is put back in its place.
        let tag =
            event.tag.map_or(Vec::new(), |(kind, tag)| [kind.to_be_bytes(), tag.to_be_bytes()].concat());
        let (addresses, rest) = event.frame.split_at(event.frame.len().min(12));
        let frame = [addresses, &tag, rest].concat();
        let length = event.length + tag.len() as u32;
        let time = (self.origin + event.time).as_nanos() as u64;
        let (high, low) = ((time >> 32) as u32, time as u32);
        let mut body: Vec<u8> =
            [0, high, low, frame.len() as u32, length].into_iter().flat_map(u32::to_ne_bytes).collect();
        body.extend(frame);
        pad(&mut body);
        body.extend(option(COMMENT, comment.as_bytes()));
        body.extend(END);
        self.block(PACKET, &body)
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// What writing returned.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// A block: its kind, its length, what is in it, and its length again.
    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let length = (body.len() as u32 + 12).to_ne_bytes();
        self.out.write_all(&[&kind.to_ne_bytes()[..], &length, body, &length].concat())
    }
}

/// The end of options.
const END: [u8; 4] = [0; 4];

fn option(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut option = [&kind.to_ne_bytes()[..], &(value.len() as u16).to_ne_bytes(), value].concat();
    pad(&mut option);
    option
}

/// Fills up to a multiple of four bytes.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The clock in which the kernel gives an event's time.
fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid to be written to. The clock exists, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests;
