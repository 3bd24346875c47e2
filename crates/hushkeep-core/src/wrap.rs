//! Passphrase wrap.
