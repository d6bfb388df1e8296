//! Linux network namespaces by hand-written netlink.
