//! `macvlan`: another MAC address on an Ethernet link.

use crate::rtnetlink::option::codec::{Plain, Worded};
use crate::rtnetlink::option::table::options;
use crate::rtnetlink::words::MacvlanMode;

options! {
    /// Options of a macvlan; in a request, what is `None` stays. `IFLA_MACVLAN_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>.
    MacvlanOptions {
        /// Who else on the same link it reaches.
        mode: MacvlanMode as Worded = IFLA_MACVLAN_MODE 1;
        /// How many broadcast frames the link below keeps for its macvlans (Linux 5.11).
        bcqueuelen: u32 as Plain = IFLA_MACVLAN_BC_QUEUE_LEN 7;
    }
}
