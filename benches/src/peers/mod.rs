//! The other makers of sandboxes, used as their users use them.
//!
//! Each makes what it makes by default, which is seldom as much as ours: none has the bridge's flooding switched off,
//! fixed MAC addresses or a first packet without a stall. CNI and netavark get a namespace that we made beforehand, for
//! which they are charged nothing, and no firewall, no DNS and state files in memory.

mod cni;
mod ip;
mod ip_batch;
mod netavark;
mod rtnetlink;
mod rtnetlink_tuned;
mod tool;

use crate::Result;
use crate::compare::Contender;

pub use cni::Cni;
pub use ip::Ip;
pub use ip_batch::IpBatch;
pub use netavark::Netavark;
pub use rtnetlink::Rtnetlink;
pub use rtnetlink_tuned::RtnetlinkTuned;

/// A way to make a sandbox.
type Contenders = Vec<Box<dyn Contender>>;

/// The peers that are installed, and notes about those that are not.
///
/// # Errors
/// If one that is there cannot be made ready.
pub fn all() -> Result<(Contenders, Vec<String>)> {
    let mut here: Contenders = vec![Box::new(Rtnetlink::new()?), Box::new(RtnetlinkTuned::new()?)];
    let mut missing = Vec::new();
    match tool::find("ip", "iproute2") {
        Ok(ip) => {
            here.push(Box::new(Ip::new(ip.clone())?));
            here.push(Box::new(IpBatch::new(ip)?));
        }
        Err(why) => missing.push(why),
    }
    match Cni::find() {
        Ok(cni) => here.push(Box::new(cni)),
        Err(why) => missing.push(why),
    }
    match Netavark::find() {
        Ok(netavark) => here.push(Box::new(netavark)),
        Err(why) => missing.push(why),
    }
    Ok((here, missing))
}
