//! `docs/guard.md` has the tables as they are tested.
