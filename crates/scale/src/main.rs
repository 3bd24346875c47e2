//! Measures what grows: a folder of 500,000 files, and ten years of days of one database.
//!
//! ```text
//! measure-scale media --work DIR [--small]               500,000 files, 100 GB: first backup, unchanged, 15 new
//! measure-scale years --work DIR [--small] --keep-all    a database of 100 MB, backed up for 3,650 days
//! measure-scale years --work DIR [--small] --retention   the same, and old snapshots are forgotten and pruned
//! ```
//!
//! It drives the engine through its public API, and prints a line of JSON for each measured backup or prune. Data is made while
//! it is read ([`media`]) or kept in one file ([`database`]), so that the peak of memory is the engine's own; each measured
//! step is a process of its own (`--step`), so that the peak is its own. A storage that discards the contents of files
//! ([`discarding`]) keeps of 100 GB what later backups need.
//!
//! The waits of the engine pass, too: what is stored on a simulated day has its file's time on that day ([`dated`]).
//!
//! What is kept in DIR, in `media`, `keep-all` and `retention`: `repository`, `home` (what the device remembers, for
//! `HUSHKEEP_HOME`), `msgstore.db`. One step can be run upon what is there: `--step 3650`, `--step "prune 3650"`.

mod database;
mod dated;
mod device;
mod discarding;
mod media;
mod requests;
mod retention;
mod steps;
mod usage;

use std::error::Error;

use fastrand::Rng;

fn main() -> Result<(), Box<dyn Error>> {
    steps::run(std::env::args().skip(1))
}

/// A generator that gives the same for the same numbers, and for no others.
fn derived(numbers: &[u64]) -> Rng {
    let mix = |seed: u64, number: &u64| Rng::with_seed(seed.rotate_left(32) ^ number).u64(..);
    Rng::with_seed(numbers.iter().fold(0, mix))
}
