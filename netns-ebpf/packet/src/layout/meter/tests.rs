//! A bucket in random histories: what passes is never more than its rate makes of the time and what may pass at once, and
//! never much less than what came or could pass.

use super::{Bucket, MOST_AMOUNT, TICK_SHIFT};

const TRAIN: u64 = 65_550;
const SECOND: u64 = 1_000_000_000 << TICK_SHIFT;

/// xorshift, so that every run is the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Frames of up to this size, some ticks apart; what passed of them and when.
fn history(bucket: Bucket, largest: u64, pause: u64, random: &mut Random) -> Vec<(u64, u64)> {
    let (mut now, mut clock) = (SECOND, 0);
    let mut passed = Vec::new();
    for _ in 0..5_000 {
        now += random.below(pause);
        let amount = 1 + random.below(largest);
        if let Some(next) = bucket.pass(clock, now, amount as u32) {
            clock = next;
            passed.push((now, amount));
        }
    }
    passed
}

/// The most that passed beyond the rate, in any time that begins and ends with a frame: the largest rise of what passed
/// less what the rate made of the time.
fn beyond(passed: &[(u64, u64)], a_second: u64) -> i128 {
    let (mut level, mut lowest, mut most, mut before) = (0_i128, 0_i128, 0_i128, None);
    for &(now, amount) in passed {
        let time = now - before.unwrap_or(now);
        level -= i128::from(time) * i128::from(a_second) / i128::from(SECOND);
        lowest = lowest.min(level);
        level += i128::from(amount);
        most = most.max(level - lowest);
        before = Some(now);
    }
    most
}

#[test]
fn no_more_passes_than_the_rate_and_the_burst() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for a_second in [125, 125_000, 1_250_000, 625_000_000, 12_500_000_000] {
        for burst in [2_000, 20_000, 131_100, 1_000_000] {
            for largest in [1_514, TRAIN, 500_000] {
                // Twice as much as may pass, about.
                let pause = (largest * SECOND / a_second / 2).max(2);
                let bucket = Bucket::new(a_second, burst, TRAIN);
                let passed = history(bucket, largest, pause, &mut random);
                // Each frame's share of the rate is rounded down above.
                let rounded = passed.len() as i128;
                let most = i128::from(burst.max(largest)) + rounded;
                assert!(beyond(&passed, a_second) <= most, "{a_second} {burst} {largest}");
                assert!(!passed.is_empty(), "{a_second} {burst} {largest}: something passes");
            }
        }
    }
}

#[test]
fn what_is_offered_without_a_pause_passes_at_the_rate() {
    let mut random = Random(7);
    for a_second in [125_000, 12_500_000, 625_000_000] {
        let bucket = Bucket::new(a_second, 262_144, TRAIN);
        for largest in [1_514, TRAIN] {
            let pause = (SECOND * largest / a_second / 4).max(2);
            let passed = history(bucket, largest, pause, &mut random);
            let time = passed.last().unwrap().0 - passed[0].0;
            let bytes: u64 = passed.iter().map(|(_, amount)| amount).sum();
            let rate = i128::from(bytes) * i128::from(SECOND) / i128::from(time);
            assert!(rate * 100 >= i128::from(a_second) * 98, "{a_second} {largest}: {rate}");
        }
    }
}

#[test]
fn a_frame_larger_than_the_bucket_passes_when_it_is_full_and_leaves_a_debt() {
    let bucket = Bucket::new(1_000_000, 10_000, TRAIN);
    let clock = bucket.pass(0, SECOND, 60_000).unwrap();
    assert!(clock - SECOND >= SECOND * 60 / 1000, "60,000 bytes are 60 ms");
    let after = |milliseconds: u64| SECOND + SECOND * milliseconds / 1000;
    assert_eq!(bucket.pass(clock, after(54), 100), None, "5,000 are for what is larger than what is left");
    assert!(bucket.pass(clock, after(56), 100).is_some());
    assert_eq!(bucket.pass(clock, after(59), 60_000), None);
    assert!(bucket.pass(clock, after(61), 60_000).is_some());
}

/// What is given back of a frame that was taken is what it took.
#[test]
fn a_frame_moves_the_clock_by_what_is_taken() {
    let bucket = Bucket::new(1_000_000, u64::MAX, TRAIN);
    for amount in [1, 1500, MOST_AMOUNT, MOST_AMOUNT + 1, 3_600_000, u32::MAX] {
        let clock = bucket.pass(0, SECOND, amount).unwrap();
        assert_eq!(clock - bucket.taken(amount), SECOND, "{amount}");
    }
}

#[test]
fn no_number_is_too_large() {
    for (a_second, burst) in [(1, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 1), (0, 0), (1, 0)] {
        let bucket = Bucket::new(a_second, burst, TRAIN);
        let clock = bucket.pass(0, SECOND, u32::MAX);
        assert!(clock.is_some_and(|clock| clock > SECOND), "{a_second} {burst}");
        // A clock of another rate's is never far ahead: those are not taken over.
        assert_eq!(bucket.pass(u64::MAX, SECOND, u32::MAX), None);
    }
}
