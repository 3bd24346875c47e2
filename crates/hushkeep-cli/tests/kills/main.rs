//! The program is killed at any moment of whatever it does, again and again: nothing is lost, and nothing shows.
//!
//! `cargo test` kills it a few times. `HUSHKEEP_KILLS=1000 cargo test -p hushkeep-cli --test kills -- --nocapture` does so
//! a thousand times, and prints what they came to; `HUSHKEEP_KILLS_SEED=17` begins with the world of that seed.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod chats;
mod command;
mod program;
mod secrets;
mod summary;
mod world;

use summary::Summary;
use world::World;

const DEFAULT_KILLS: u64 = 12;

#[test]
fn whenever_it_is_killed_nothing_is_lost_and_the_next_run_finishes() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let kills = number("HUSHKEEP_KILLS").unwrap_or(DEFAULT_KILLS);
    let mut summary = Summary::default();
    let mut seeds = number("HUSHKEEP_KILLS_SEED").unwrap_or(0)..;
    while summary.kills() < kills {
        let seed = seeds.next().unwrap();
        World::new(seed).live(kills, &mut summary);
    }
    println!("{summary}");
}
