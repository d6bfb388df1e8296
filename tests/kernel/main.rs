//! Integration tests on the real kernel.
