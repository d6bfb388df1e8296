//! Adding to counters.

use crate::atomic;
use crate::maps::PREEMPTIBLE;

/// Adds to counters that only this CPU writes, and says what the last is now (where runs interleave: about that).
///
/// # Safety
/// The counters are aligned, lie in a map's element that only this CPU writes, and are valid while the program runs.
#[inline(always)]
pub(crate) unsafe fn add<const N: usize>(amounts: [(*mut u64, u64); N]) -> u64 {
    let (mut sum, is_preemptible) = (0, PREEMPTIBLE.load() != 0);
    for (counter, amount) in amounts {
        // SAFETY: valid and aligned by the caller's promise. Where another run can come in between, both add by the
        // atomic instruction; user space may read meanwhile, so the accesses are volatile: whole, and exactly these.
        unsafe {
            sum = counter.read_volatile().wrapping_add(amount);
            if is_preemptible {
                atomic::add(counter, amount);
            } else {
                counter.write_volatile(sum);
            }
        }
    }
    sum
}
