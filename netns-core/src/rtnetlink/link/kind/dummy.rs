//! `dummy`: an Ethernet link that drops what it is given.

use crate::rtnetlink::option::table::options;

options! {
    /// A dummy has no options.
    DummyOptions {}
}
