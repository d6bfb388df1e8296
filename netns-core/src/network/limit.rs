//! Why there is no further namespace.

use crate::Error;
use crate::error::Operation;

/// Says why there is no namespace. No space left on a device is how the kernel puts it.
pub(super) fn explain_limit(error: Error) -> Error {
    if error.errno() == Some(libc::ENOSPC) {
        let why = "the kernel allows no more network namespaces (user.max_net_namespaces)";
        return Error::exhausted(Operation::CreateNamespace, "", why);
    }
    error
}
