//! Measured times, and their summaries.

use serde::Serialize;
use std::time::Duration;

/// Times, in the order in which they were measured.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

/// A summary of many times, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Summary {
    /// How many there are.
    pub count: usize,
    /// Their arithmetic mean.
    pub mean_us: f64,
    /// Half of them are at most this.
    pub p50_us: f64,
    /// 99 of 100 are at most this.
    pub p99_us: f64,
    /// 999 of 1,000 are at most this.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Samples {
    /// None yet, with room for some, so that measuring allocates nothing.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// One more.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// All of another's.
    pub fn append(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// In the order in which they were measured.
    #[must_use]
    pub fn all(&self) -> &[Duration] {
        &self.0
    }

    /// The time that a share (0 to 1) of them do not exceed, by nearest rank; zero if there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(rank(share, sorted.len())).copied().unwrap_or_default()
    }

    /// The middle one, in microseconds.
    #[must_use]
    pub fn median_us(&self) -> f64 {
        micros(self.quantile(0.5))
    }

    /// How many times as long as another's these are: the median of the ratios to the one that was measured in the same
    /// round. Whatever else goes on for longer than a round affects both.
    #[must_use]
    pub fn ratio_in_turns(&self, other: &Self) -> f64 {
        let ratio = |(ours, theirs): (&Duration, &Duration)| ours.as_secs_f64() / theirs.as_secs_f64();
        let mut ratios: Vec<f64> = self.0.iter().zip(&other.0).map(ratio).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        ratios.get(rank(0.5, ratios.len())).copied().unwrap_or(f64::NAN)
    }

    /// Their mean, in microseconds.
    #[must_use]
    pub fn mean_us(&self) -> f64 {
        let total: Duration = self.0.iter().sum();
        micros(total) / count(self.0.len().max(1))
    }

    /// Their summary.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let at = |share| micros(self.quantile(share));
        Summary {
            count: self.0.len(),
            mean_us: self.mean_us(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
        }
    }

    /// Their distribution for a plot: at most `points` pairs of a share and the microseconds it does not exceed, denser
    /// towards the slow end.
    #[must_use]
    pub fn distribution(&self, points: u32) -> Vec<(f64, f64)> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let decades = count(sorted.len().max(2)).log10();
        (0..=points)
            .filter_map(|point| {
                let share = 1.0 - 10_f64.powf(-decades * f64::from(point) / f64::from(points));
                sorted.get(rank(share, sorted.len())).map(|time| (share, micros(*time)))
            })
            .collect()
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

/// The position of a share among this many, from 0.
fn rank(share: f64, length: usize) -> usize {
    // The product is between 0 and the length.
    let rank = (share * count(length)).ceil() as usize;
    rank.clamp(1, length.max(1)) - 1
}

/// A number of things, to calculate with.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "nothing here is counted beyond 2^52")]
pub fn count(things: usize) -> f64 {
    things as f64
}

/// Microseconds with their fraction.
#[must_use]
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::Samples;
    use std::time::Duration;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let samples: Samples = (1..=1000).rev().map(Duration::from_micros).collect();
        let summary = samples.summary();
        assert_eq!(summary.count, 1000);
        for (found, wanted) in [
            (summary.p50_us, 500.0),
            (summary.p99_us, 990.0),
            (summary.p999_us, 999.0),
            (summary.max_us, 1000.0),
        ] {
            assert!((found - wanted).abs() < 1e-6, "{found} instead of {wanted}");
        }
    }

    #[test]
    fn a_ratio_in_turns_compares_the_same_rounds() {
        let of = |times: [u64; 3]| times.into_iter().map(Duration::from_micros).collect::<Samples>();
        let ratio = of([20, 200, 3]).ratio_in_turns(&of([10, 100, 1]));
        assert!((ratio - 2.0).abs() < 1e-9, "{ratio}");
        assert!(of([1, 2, 3]).ratio_in_turns(&Samples::default()).is_nan());
    }

    #[test]
    fn a_summary_of_nothing_is_zero() {
        assert_eq!(Samples::default().quantile(0.99), Duration::ZERO);
        assert!(Samples::default().distribution(10).is_empty());
    }

    #[test]
    fn a_distribution_ends_with_the_slowest() {
        let samples: Samples = (1..=1000).map(Duration::from_micros).collect();
        let last = samples.distribution(30).last().copied();
        assert!(last.is_some_and(|(share, time)| share > 0.998 && time > 998.0), "{last:?}");
    }
}
