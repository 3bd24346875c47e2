//! What the operator should know of a vault.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use hushkeep_vault::server::{Policy, StoreError, Vault};

use crate::fence::{Fence, Numbered};
use crate::folder::{FolderError, check_user, keys_file, records_file};
use crate::keys;
use crate::store::{SqliteStore, Unopened};
use crate::{clock, count_of};

/// After so long a key of records should be replaced.
const KEK_LASTS_DAYS: i64 = 92;

/// So often a write is made, to see how long the disk takes.
const WRITES: u32 = 32;

/// A disk that keeps what it says takes longer. (A drive's own memory, with a battery, may be as fast.)
const TOO_FAST: Duration = Duration::from_micros(30);

/// So much must be free beside the size of the records, in bytes: logs grow between two looks.
const SPARE: u64 = 64_000_000;

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub what: &'static str,
    /// Whether it is as it should be.
    pub state: State,
    /// What was found.
    pub text: String,
}

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is.
    Well,
    /// It is as it was chosen; better is possible.
    Note,
    /// It is not.
    Bad,
}

impl Finding {
    fn new(what: &'static str, is_well: bool, text: impl Into<String>) -> Self {
        let state = if is_well { State::Well } else { State::Bad };
        Self { what, state, text: text.into() }
    }

    fn note(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, state: State::Note, text: text.into() }
    }
}

/// Looks at a vault, which may be being served.
pub fn doctor(folder: &Path, fence: Option<&Path>) -> Result<Vec<Finding>, FolderError> {
    check_user(folder)?;
    let secrets = keys::load(&keys_file(folder))?;
    let oldest = secrets.keks().iter().map(|kek| kek.made).min().unwrap_or_default();
    let older = secrets.keks().len().saturating_sub(1);
    let vault = Vault::new(secrets, Policy::DEFAULT)?;
    let records = SqliteStore::open(&records_file(folder), &vault.id())?;
    Ok(vec![
        Finding::note("key file", "whoever has it and the records can guess without a count"),
        clock_of(&records),
        disk(folder),
        room(folder),
        kek(oldest, older),
        damage(&vault, &records),
        fence_of(fence, &vault, &records),
    ])
}

fn clock_of(records: &SqliteStore) -> Finding {
    let now = clock::now();
    match records.newest_event() {
        Ok(Some(newest)) if newest > now => {
            let ahead = newest - now;
            Finding::new(
                "clock",
                false,
                format!(
                    "it is {ahead} s behind what it was at the last change: guesses wait longer, or not at all. \
                     compare it with another clock: it may be behind now, or have been ahead then"
                ),
            )
        }
        Ok(_) => {
            Finding::new("clock", true, "it is not behind the last change (whether it is right is not known here)")
        }
        Err(error) => Finding::new("clock", false, error.to_string()),
    }
}

fn disk(folder: &Path) -> Finding {
    match time_of_write(folder) {
        Ok(time) if time < TOO_FAST => Finding::note(
            "disk",
            format!("it says within {} µs that data is kept: ask whether that outlives a power cut", time.as_micros()),
        ),
        Ok(time) => Finding::new("disk", true, format!("keeps a write within {} µs", time.as_micros())),
        Err(error) => Finding::new("disk", false, format!("cannot be written to: {error}")),
    }
}

/// A rekey writes every record once more beside the records, and so does a backup that is kept here.
fn room(folder: &Path) -> Finding {
    let looked = || {
        let disk = rustix::fs::statvfs(folder)?;
        Ok::<_, io::Error>((disk.f_bavail.saturating_mul(disk.f_frsize), records_file(folder).metadata()?.len()))
    };
    match looked() {
        Ok((free, records)) => {
            let is_enough = free > records.saturating_add(SPARE);
            let advice = if is_enough { "" } else { ": make room before it is full, for no guess is answered then" };
            let (free, records) = (free / 1_000_000, records / 1_000_000);
            Finding::new("room", is_enough, format!("{free} MB are free, and the records take {records}{advice}"))
        }
        Err(error) => Finding::new("room", false, error.to_string()),
    }
}

/// How long a durable write takes, on average.
fn time_of_write(folder: &Path) -> io::Result<Duration> {
    let path = folder.join("doctor.tmp");
    let mut file = File::create(&path)?;
    let began = Instant::now();
    let written = (0..WRITES).try_for_each(|_| {
        file.write_all(&[0; 4096])?;
        file.sync_data()
    });
    let time = began.elapsed();
    std::fs::remove_file(&path)?;
    written.map(|()| time / WRITES)
}

fn kek(oldest: u64, older: usize) -> Finding {
    let days = clock::now().saturating_sub_unsigned(oldest) / 86_400;
    let text = format!("the oldest key of records is {days} days old");
    match (days > KEK_LASTS_DAYS, older) {
        (false, 0) => Finding::new("keys", true, text),
        (true, 0) => Finding::new("keys", false, format!("{text}: replace it with \"hushkeep-vaultd rekey\"")),
        _ => Finding::new("keys", false, "a rekey was broken off: run \"hushkeep-vaultd rekey\" again"),
    }
}

fn damage(vault: &Vault, records: &SqliteStore) -> Finding {
    let looked = || Ok::<_, StoreError>((records.damage()?, records.count()?, records.unopened(vault)?));
    match looked() {
        Ok((damage, count, unopened)) => match damage.first() {
            Some(first) => {
                let text = format!("their file is damaged: {first}. put a copy back with \"hushkeep-vaultd restore\"");
                Finding::new("records", false, text)
            }
            None if unopened != Unopened::default() => {
                let Unopened { another_key, damaged } = unopened;
                let advice = match another_key {
                    0 => {
                        "their owners need another way to the key, and a new password; a copy that is put back is older for all"
                    }
                    _ => "records and vault-keys belong together: put back those of the same side of the last rekey",
                };
                let text = format!(
                    "of {count}, {damaged} are damaged, and {another_key} under a key that is not here: {advice}"
                );
                Finding::new("records", false, text)
            }
            None => Finding::new("records", true, format!("{}, whole", count_of(count, "record"))),
        },
        Err(error) => Finding::new("records", false, error.to_string()),
    }
}

fn fence_of(folder: Option<&Path>, vault: &Vault, records: &SqliteStore) -> Finding {
    let Some(folder) = folder else {
        return Finding::note("fence", "none: records that were put back from an old copy would not be noticed here");
    };
    let numbers = Fence::open(folder, &vault.id()).and_then(|fence| Ok((fence.newest()?, records.number("fence")?)));
    match numbers {
        Ok((0, 1..)) => Finding::new("fence", false, "it has no number of this vault: see whether it is mounted"),
        Ok((fence, own)) if own >= fence => {
            Finding::new("fence", true, format!("at {fence}, and the records at {own}"))
        }
        Ok((fence, own)) => {
            let text =
                format!("the records are older than they were: {own} of {fence}. if you put a copy back, do it again");
            Finding::new("fence", false, format!("{text} with \"restore --fence\""))
        }
        Err(error) => Finding::new("fence", false, error.to_string()),
    }
}
