//! The layouts as aya takes them: types that are their bytes.

use crate::layout::{PairCounters, PairKey};

// SAFETY: `repr(C)`, integers only, no padding (the sizes are asserted beside the types), any bytes are a value.
unsafe impl aya::Pod for PairKey {}
// SAFETY: as above.
unsafe impl aya::Pod for PairCounters {}
