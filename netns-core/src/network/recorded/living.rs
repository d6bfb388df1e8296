//! The record of a network that this process has, from before its bridge is made until it is gone.

use super::files::{begin_file, is_unwritable, path_of, remove_file};
use super::{RecordedNetwork, lines};
use crate::barrier;
use crate::nat::{Forwarding, ForwardingNeeds};
use crate::network::options::{NetworkOptions, RecordPlace};
use crate::network::place::barrier_name;
use crate::network::plan::Plan;
use crate::network::way_out;
use crate::record::{NamespaceIdentity, RecordFile, undo_twice};
use crate::{Cause, Error, Namespace, Operation, Result, RouteSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The record of a network that this process has.
#[derive(Debug)]
pub(in crate::network) struct NetworkRecord {
    namespace: NamespaceIdentity,
    /// Locked while what is set on the host changes.
    state: Mutex<RecordState>,
}

#[derive(Debug)]
struct RecordState {
    file: RecordFile,
    /// What is set on the host for it.
    forwarding: Forwarding,
}

impl NetworkRecord {
    /// Begins the record of a network in the namespace `home`, which is the calling thread's; `None` if there is to be
    /// none, or it cannot be where it would be by default.
    ///
    /// # Errors
    /// If a process has a network of this name, or one that is gone left one. If a folder was asked for and the record
    /// cannot be there.
    pub(in crate::network) fn begin(home: &Namespace, options: &NetworkOptions) -> Result<Option<Self>> {
        let refused = |cause| Error::new(Operation::CreateNetwork, options.name.to_string(), cause);
        let unrecorded = || {
            if options.masquerade {
                let why = "a way out changes settings of the host, which have to be on record";
                return Err(refused(Cause::Invalid(why.into())));
            }
            Ok(None)
        };
        let Some(folder) = options.record.folder() else { return unrecorded() };
        let namespace = NamespaceIdentity::of(home)?;
        let path = path_of(folder, options.name, &namespace);
        let file = match begin_file(folder, &path) {
            Err(error) if RecordFile::is_held(&error) => {
                let why = "a process that is alive has a network of this name";
                return Err(refused(Cause::Busy(why.into())));
            }
            Err(error) if matches!(options.record, RecordPlace::Default) && is_unwritable(&error) => {
                return unrecorded();
            }
            other => other?,
        };
        if !file.lines().is_empty() {
            let left = RecordedNetwork::parse(path, file.lines())?;
            let mut socket = RouteSocket::open()?;
            if left.has_bridge(&mut socket)? || left.has_names(&mut socket)? {
                let why = "a process that is gone left a network of this name: RecordedNetwork::open takes it over, \
                           RecordedNetwork::remove removes it";
                return Err(refused(Cause::Exists(why.into())));
            }
            // A kill between the end of its bridge and that of its barrier.
            barrier::remove(home, &barrier_name(&left.plan))?;
            left.close_way_out(&file)?;
        }
        let forwarding = if options.masquerade {
            match Forwarding::plan(home, &way_out::forwarding_needs(options), file.path()) {
                Ok(forwarding) => forwarding,
                Err(error) => {
                    // What it says, if anything, is gone.
                    let _ = remove_file(file);
                    return Err(error);
                }
            }
        } else {
            Forwarding::default()
        };
        Ok(Some(Self { namespace, state: Mutex::new(RecordState { file, forwarding }) }))
    }

    /// Claims what is set on the host for it.
    pub(in crate::network) fn claim_forwarding(&self, home: &Namespace) -> Result<()> {
        let state = self.state();
        state.forwarding.claim(home, state.file.path())
    }

    /// Claims what it takes besides, by the routes that the host has now; whether anything was missing. What is claimed already
    /// stays so until the network ends, since connections by it may go on.
    pub(in crate::network) fn follow_routes(
        &self,
        home: &Namespace,
        needs: &ForwardingNeeds<'_>,
    ) -> Result<bool> {
        let mut state = self.state();
        let path = state.file.path().to_owned();
        let needed = Forwarding::plan(home, needs, &path)?;
        if state.forwarding.covers(&needed) && state.forwarding.is_on(home)? {
            return Ok(false);
        }
        let mut forwarding = state.forwarding.clone();
        forwarding.forget_gone(home, &path)?;
        forwarding.extend(needed);
        let others = state.file.lines().iter().filter(|line| line.key() != Forwarding::KEY);
        let lines = others.cloned().chain(forwarding.lines()).collect();
        // Before it is set.
        state.file.replace(lines)?;
        state.forwarding = forwarding;
        state.forwarding.claim(home, &path).map(|()| true)
    }

    fn state(&self) -> MutexGuard<'_, RecordState> {
        // What is half done is on record, and done again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts it back. What somebody else has set since is left.
    pub(in crate::network) fn release_forwarding(&self, home: &Namespace) -> Result<()> {
        let state = self.state();
        state.forwarding.release(home, state.file.path()).map(drop)
    }

    /// The record of a network that is taken over.
    pub(in crate::network) fn of(file: RecordFile, namespace: NamespaceIdentity) -> Self {
        let forwarding = Forwarding::read(file.lines());
        Self { namespace, state: Mutex::new(RecordState { file, forwarding }) }
    }

    /// Writes down what is going to be made.
    pub(in crate::network) fn write(&mut self, plan: &Plan, options: &NetworkOptions) -> Result<()> {
        let mut lines = lines::lines(plan, options, &self.namespace);
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        lines.extend(state.forwarding.lines());
        state.file.replace(lines)
    }

    /// Ends the record, if the first bridge is gone. The kernel may still have ports: those go by themselves.
    pub(in crate::network) fn end(self, socket: &mut RouteSocket) -> Result<()> {
        let RecordState { file, .. } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let path = file.path().to_owned();
        let nothing = file.lines().is_empty();
        if !nothing {
            let left = RecordedNetwork::parse(path, file.lines())?;
            if undo_twice(|| left.has_bridge(socket))? {
                return Ok(());
            }
        }
        remove_file(file)
    }
}
