//! From a file to a topology: TOML, then what its words mean, then whether it makes sense as a whole.

mod check;
mod egress;
mod group;
mod options;
mod policy;
mod ports;
mod read;
mod tables;
mod values;
mod way_out;

#[cfg(test)]
mod tests;

pub use egress::open_egress;
pub use ports::Policies;

use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::topology::Topology;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// What is wrong with which bytes.
type Wrong<T> = std::result::Result<T, (Range<usize>, String)>;

/// Reads a topology from the text of a file.
///
/// # Errors
/// [`Error::File`]: the first thing that is wrong, by line and column of `path`, and what was expected there.
///
/// ```
/// use std::path::Path;
///
/// let text = r#"
/// [namespace.ns1]
/// interface.eth0 = { peer = "ns2/eth0", addresses = ["10.0.0.1/24"] }
///
/// [namespace.ns2]
/// interface.eth0 = { peer = "ns1/eth0", addresses = ["10.0.0.2/24"] }
/// "#;
/// let topology = netns_topology::parse(Path::new("cable.toml"), text)?;
/// assert_eq!((topology.namespaces.len(), topology.cables.len()), (2, 1));
///
/// let error = netns_topology::parse(Path::new("cable.toml"), &text.replace("10.0.0.2/24", "10.0.0.2")).unwrap_err();
/// assert!(error.to_string().starts_with("cable.toml:6:52: \"10.0.0.2\" has no prefix length; expected"));
/// # Ok::<(), netns_topology::Error>(())
/// ```
pub fn parse(path: &Path, text: &str) -> Result<Topology> {
    let wrong = |(span, message)| Error::from(Fault::new(path, text, span, message));
    let file: tables::FileTable = toml::from_str(text)
        .map_err(|error| wrong((error.span().unwrap_or_default(), error.message().to_owned())))?;
    read::read(file).and_then(check::check).map_err(wrong)
}

/// The text of a file.
pub(crate) fn text_of(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::system(format!("read {}", path.display())))
}
