//! How fast it went lately: what a sparkline shows.

use std::collections::VecDeque;

/// How many readings are kept.
const LENGTH: usize = 240;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Bits a second, both ways together, reading by reading.
#[derive(Debug, Clone, Default)]
pub(super) struct History(VecDeque<u64>);

impl History {
    pub(super) fn push(&mut self, bits: u64) {
        if self.0.len() == LENGTH {
            self.0.pop_front();
        }
        self.0.push_back(bits);
    }

    /// The last `width` readings, the latest on the right, scaled to the highest that is shown. Zero is a blank, which
    /// distinguishes it from a little.
    pub(super) fn sparkline(&self, width: usize) -> String {
        let shown = self.0.len().min(width);
        let last = || self.0.iter().skip(self.0.len() - shown);
        let highest = last().copied().max().unwrap_or(0).max(1);
        let bar = |&bits: &u64| {
            let height = (u128::from(bits) * BARS.len() as u128).div_ceil(highest.into()) as usize;
            height.checked_sub(1).map_or(' ', |height| BARS[height.min(BARS.len() - 1)])
        };
        let blanks = std::iter::repeat_n(' ', width - shown);
        blanks.chain(last().map(bar)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::History;

    #[test]
    fn a_sparkline_is_as_high_as_its_highest() {
        let mut history = History::default();
        assert_eq!(history.sparkline(3), "   ");
        for bits in [0, 1, 400, 800] {
            history.push(bits);
        }
        assert_eq!(history.sparkline(6), "   ▁▄█");
        assert_eq!(history.sparkline(2), "▄█");
        for _ in 0..1000 {
            history.push(u64::MAX);
        }
        assert_eq!(history.sparkline(300).trim_start(), "█".repeat(240));
    }
}
