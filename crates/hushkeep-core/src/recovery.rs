//! Recovery key.
