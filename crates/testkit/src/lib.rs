//! What the tests of several crates share. Never published.

pub mod database;
pub mod sample;
pub mod storage;
