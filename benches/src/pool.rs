//! Taking from a pool, at a steady rate and in bursts.

use crate::Result;
use crate::samples::Samples;
use crate::sandboxes::Maker;
use netns_core::network::{Pool, PoolOptions};
use std::thread;
use std::time::{Duration, Instant};

/// How long a pool may take to be full.
const LIMIT: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Debug, Clone)]
pub struct Acquired {
    /// Taking one.
    pub acquire: Samples,
    /// Of these, how many were not ready and had to be made.
    pub direct: usize,
    /// How many a second there were.
    pub per_second: f64,
}

/// Takes `count` sandboxes at `rate` a second from a pool of `ready`, and drops each, while the pool makes as many.
///
/// # Errors
/// If the kernel refuses.
pub fn steady(maker: &Maker, ready: usize, rate: u32, count: usize) -> Result<Acquired> {
    let pool = full(maker, ready)?;
    let interval = Duration::from_secs(1) / rate;
    let mut acquired = Acquired { acquire: Samples::with_capacity(count), direct: 0, per_second: 0.0 };
    let begin = Instant::now();
    let mut next = begin;
    for _ in 0..count {
        acquired.direct += usize::from(pool.ready() == 0);
        let taken = Instant::now();
        let sandbox = pool.acquire()?;
        acquired.acquire.push(taken.elapsed());
        drop(sandbox);
        next += interval;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    acquired.per_second = crate::samples::count(count) / begin.elapsed().as_secs_f64();
    Ok(acquired)
}

/// Takes `count` sandboxes from a pool of `ready` as fast as possible, and keeps them.
///
/// # Errors
/// If the kernel refuses.
pub fn burst(maker: &Maker, ready: usize, count: usize) -> Result<Acquired> {
    let pool = full(maker, ready)?;
    let mut acquired = Acquired { acquire: Samples::with_capacity(count), direct: 0, per_second: 0.0 };
    let mut kept = Vec::with_capacity(count);
    let begin = Instant::now();
    for _ in 0..count {
        acquired.direct += usize::from(pool.ready() == 0);
        let taken = Instant::now();
        kept.push(pool.acquire()?);
        acquired.acquire.push(taken.elapsed());
    }
    acquired.per_second = crate::samples::count(count) / begin.elapsed().as_secs_f64();
    Ok(acquired)
}

fn full(maker: &Maker, ready: usize) -> Result<Pool> {
    let pool = Pool::start(maker.network(), PoolOptions::new(ready))?;
    let deadline = Instant::now() + LIMIT;
    while pool.ready() < ready {
        if Instant::now() >= deadline {
            let why = pool.failure().map_or_else(String::new, |why| why.to_string());
            return Err(format!("the pool is not full after {LIMIT:?}: {why}").into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    // Until the pool's thread sleeps.
    thread::sleep(Duration::from_millis(20));
    Ok(pool)
}
