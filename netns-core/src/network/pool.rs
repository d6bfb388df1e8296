//! Sandboxes kept ready.

use super::attempt::Where;
use super::shared::Shared as NetworkState;
use super::{Network, Sandbox};
use crate::error::{Cause, Operation, SystemCall};
use crate::sys::deadline::Deadline;
use crate::{Error, ErrorKind, Result, sys};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a thread waits after a sandbox could not be made, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// How long to leave notices alone that come after others: many are read at once where many sandboxes come and go.
const SETTLE: Duration = Duration::from_millis(50);
/// How long to wait for a sandbox before looking again: some durations are more than the clock can add.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long one attempt waits for numbers and limits: as long as the end of the pool may wait for it. The pool itself goes
/// on trying.
const ATTEMPT: Duration = Duration::from_millis(50);

/// What a pool may spend.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// How many sandboxes are kept ready.
    pub ready: usize,
    /// How many threads make them. The kernel makes links one after the other, so more than two seldom help.
    pub threads: usize,
    /// How many are made in a second at most; `None` for as many as can be.
    pub per_second: Option<u32>,
}

impl PoolOptions {
    /// So many ready, made by one thread as fast as it can.
    #[must_use]
    pub const fn new(ready: usize) -> Self {
        Self { ready, threads: 1, per_second: None }
    }
}

/// A pool of sandboxes that are finished and were never used, made in the background.
///
/// ```
/// use netns_core::network::{Network, NetworkOptions, Pool, PoolOptions};
/// # use netns_core::{IfName, Namespace};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// # Namespace::anonymous()?.enter(|| {
/// # let options = NetworkOptions {
/// #     subnet_v4: Some("10.99.0.0/16".parse()?),
/// #     ..NetworkOptions::new(IfName::new("sandboxes")?)
/// # };
/// # let network = Network::create(&options)?;
/// let pool = Pool::start(&network, PoolOptions::new(8))?;
/// let sandbox = pool.acquire()?;
/// // It is the caller's from now on. There is no way back into the pool: the next one is as fresh as this one.
/// drop(sandbox);
/// # Ok::<(), netns_core::Error>(())
/// # })??;
/// # Ok::<(), netns_core::Error>(())
/// ```
///
/// A ready sandbox whose port somebody deletes is dropped and replaced, as soon as the kernel's notice of it was read:
/// a thread of the pool waits for notices.
///
/// Dropping the pool stops its threads, each after the sandbox that it is making, and drops what is ready. It may be shared
/// between threads. In a fork it has nothing ready.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<PoolShared>,
    threads: Vec<JoinHandle<()>>,
    /// Written to, it ends the wait for notices.
    stop: Option<File>,
}

#[derive(Debug)]
struct PoolShared {
    network: Network,
    options: PoolOptions,
    /// When so few are left, the threads are woken. Not at every one that is taken: waking is a system call.
    low: usize,
    state: Mutex<PoolState>,
    /// Wakes the pool's threads.
    wake: Condvar,
    /// Wakes those who wait for a sandbox.
    arrived: Condvar,
}

#[derive(Debug)]
struct PoolState {
    ready: VecDeque<Sandbox>,
    /// How many are being made.
    coming: usize,
    /// How many threads wait for one.
    waiting: usize,
    /// Whether the threads have filled the pool and sleep until it is low.
    full: bool,
    stopping: bool,
    /// When the next one may be begun.
    next: Instant,
    failure: Option<Arc<Error>>,
}

impl Pool {
    /// Starts filling a pool.
    ///
    /// # Errors
    /// If it is to have no room or no thread; if threads cannot be started.
    pub fn start(network: &Network, options: PoolOptions) -> Result<Self> {
        if options.ready == 0 || options.threads == 0 || options.per_second == Some(0) {
            return Err(Error::invalid(Operation::StartPool, "", "its size, threads and rate begin at 1"));
        }
        let state = PoolState {
            ready: VecDeque::with_capacity(options.ready),
            coming: 0,
            waiting: 0,
            full: false,
            stopping: false,
            next: Instant::now(),
            failure: None,
        };
        let shared = Arc::new(PoolShared {
            network: network.clone(),
            options,
            low: options.ready - options.ready.div_ceil(4),
            state: Mutex::new(state),
            wake: Condvar::new(),
            arrived: Condvar::new(),
        });
        let (stopped, stop) =
            sys::file::pipe().map_err(Error::system(Operation::StartPool, "", SystemCall::Pipe))?;
        let mut pool = Self { shared, threads: Vec::new(), stop: Some(stop) };
        for _ in 0..options.threads {
            pool.spawn("sandbox pool", PoolShared::fill)?;
        }
        pool.spawn("sandbox notices", move |shared| shared.watch(&stopped))?;
        Ok(pool)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce(&PoolShared) + Send + 'static) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(&shared));
        self.threads.push(thread.map_err(Error::system(Operation::StartPool, "", SystemCall::Clone))?);
        Ok(())
    }

    /// A sandbox: one that is ready, without a system call, or a new one if none is.
    ///
    /// # Errors
    /// As [`Network::create_sandbox`], if none is ready.
    pub fn acquire(&self) -> Result<Sandbox> {
        match self.try_acquire() {
            Some(sandbox) => Ok(sandbox),
            None => self.shared.network.create_sandbox(),
        }
    }

    /// A sandbox that is ready, now or within `limit`. The threads of the pool make it, at the rate that
    /// [`PoolOptions::per_second`] sets.
    ///
    /// # Errors
    /// [`Cause::TimedOut`](crate::Cause::TimedOut) if there was none: [`Pool::failure`] may say why. In a fork, at once.
    pub fn acquire_within(&self, limit: Duration) -> Result<Sandbox> {
        let shared = &self.shared;
        shared.network.shared.check_process(Operation::AcquireSandbox)?;
        let mut deadline = Deadline::new(limit);
        loop {
            if let Some(sandbox) = self.try_acquire() {
                return Ok(sandbox);
            }
            let mut state = shared.lock();
            if !state.ready.is_empty() {
                continue;
            }
            let left = deadline.left();
            if left.is_zero() {
                let name = shared.network.shared.recipe.plan.name.to_string();
                return Err(Error::new(Operation::AcquireSandbox, name, Cause::TimedOut(limit)));
            }
            // Even where it is not low: one thread may wait for more than the pool has.
            state.full = false;
            state.waiting += 1;
            shared.wake.notify_all();
            let waited = shared.arrived.wait_timeout(state, left.min(LONGEST_WAIT));
            waited.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
        }
    }

    /// As [`Pool::acquire`], and gives the sandbox a name: see [`Sandbox::bind`].
    ///
    /// # Errors
    /// As [`Pool::acquire`]; `EEXIST` if the name is taken, and then the sandbox is dropped.
    pub fn acquire_named(&self, name: &str) -> Result<Sandbox> {
        let mut sandbox = self.acquire()?;
        sandbox.bind(name)?;
        Ok(sandbox)
    }

    /// A sandbox if one is ready. A fork has none.
    #[must_use]
    pub fn try_acquire(&self) -> Option<Sandbox> {
        if !self.shared.is_ours() {
            return None;
        }
        loop {
            let sandbox = self.take()?;
            if !self.shared.is_dead(&sandbox) {
                return Some(sandbox);
            }
        }
    }

    /// The first of those that are ready.
    fn take(&self) -> Option<Sandbox> {
        let mut state = self.shared.lock();
        let sandbox = state.ready.pop_front();
        let wake = state.full && state.ready.len() <= self.shared.low;
        if wake {
            state.full = false;
        }
        drop(state);
        if wake {
            self.shared.wake.notify_all();
        }
        sandbox
    }

    /// How many are ready; in a fork, none.
    #[must_use]
    pub fn ready(&self) -> usize {
        if !self.shared.is_ours() {
            return 0;
        }
        self.shared.lock().ready.len()
    }

    /// Why the latest attempt to make one failed, if it did. The threads go on trying. It is shared, as an error cannot be copied.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<Error>> {
        if !self.shared.is_ours() {
            return None;
        }
        self.shared.lock().failure.clone()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.shared.is_ours() {
            // The threads are not in a fork: it can neither wait for them nor let go of them.
            self.threads.drain(..).for_each(std::mem::forget);
            return;
        }
        self.shared.lock().stopping = true;
        self.shared.wake.notify_all();
        if let Some(mut stop) = self.stop.take() {
            // Closing it would not do while a fork has a copy.
            let _ = stop.write_all(&[0]);
        }
        for thread in self.threads.drain(..) {
            // It has said why it panicked.
            let _ = thread.join();
        }
        // Nobody else has the state any more, but a sandbox's drop is not to run with it locked.
        let ready = std::mem::take(&mut self.shared.lock().ready);
        drop(ready);
    }
}

impl PoolShared {
    /// Whether this is the process that made the pool: a fork has a copy, perhaps of a moment when it was locked.
    fn is_ours(&self) -> bool {
        self.network.shared.is_ours()
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        // No change of the state can stop in the middle.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does: makes sandboxes until it is asked to stop.
    fn fill(&self) {
        let mut back_off = BACK_OFF.0;
        // Since when numbers or limits are waited for.
        let mut since: Option<Instant> = None;
        while self.await_turn() {
            // A panic of the network's program is this sandbox's, and not the pool's.
            let made = catch_unwind(AssertUnwindSafe(|| {
                let network = &self.network.shared;
                NetworkState::create_sandbox_within(network, Where::New(None), ATTEMPT.min(network.patience))
            }));
            let mut state = self.lock();
            state.coming -= 1;
            let failure = match made {
                Ok(Ok(sandbox)) => {
                    state.ready.push_back(sandbox);
                    state.failure = None;
                    if state.waiting > 0 {
                        self.arrived.notify_one();
                    }
                    (back_off, since) = (BACK_OFF.0, None);
                    continue;
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Exhausted => {
                    let begin = *since.get_or_insert_with(Instant::now);
                    (begin.elapsed() >= self.network.shared.patience).then_some(error)
                }
                Ok(Err(error)) => Some(error),
                Err(_) => {
                    Some(Error::invalid(Operation::CreateSandbox, "", "the network's program panicked"))
                }
            };
            state.failure = failure.map(Arc::new).or(state.failure.take());
            if !state.stopping {
                drop(self.wake.wait_timeout(state, back_off));
            }
            back_off = (back_off * 2).min(BACK_OFF.1);
        }
    }

    /// Whether somebody is known to have deleted its port.
    fn is_dead(&self, sandbox: &Sandbox) -> bool {
        self.network.shared.books().ledger.is_dead(sandbox.claim.ticket)
    }

    /// What another thread does: reads the kernel's notices of ports that are gone, and drops ready sandboxes that have
    /// lost theirs, until `stopped` is readable.
    fn watch(&self, stopped: &File) {
        while self.network.shared.await_notices(stopped.as_fd(), SETTLE) {
            let mut state = self.lock();
            // One at a time, since a sandbox's drop is not to run with the state locked.
            while let Some(dead) = state.ready.iter().position(|sandbox| self.is_dead(sandbox)) {
                let dead = state.ready.remove(dead);
                state.full = false;
                drop(state);
                drop(dead);
                self.wake.notify_all();
                state = self.lock();
            }
        }
    }

    /// Waits until another sandbox is wanted and may be made; `false` if none will be.
    fn await_turn(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return false;
            }
            if state.ready.len() + state.coming >= self.options.ready {
                state.full = true;
            }
            let now = Instant::now();
            if state.full {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if state.next > now {
                let left = state.next - now;
                state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                if let Some(rate) = self.options.per_second {
                    state.next = now + Duration::from_secs(1) / rate;
                }
                state.coming += 1;
                return true;
            }
        }
    }
}
