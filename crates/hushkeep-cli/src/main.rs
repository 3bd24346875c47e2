//! The `hushkeep` command.
fn main() {}
