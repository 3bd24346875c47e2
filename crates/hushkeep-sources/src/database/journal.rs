//! Rollback journals.

use std::fs::File;
use std::io;

use super::RESERVED;
use super::state::Part;
use crate::folder::Place;
use crate::platform;

/// What the rollback journal beside a database means.
pub(super) enum Journal {
    /// There is none.
    None,
    /// It says nothing: its transaction has ended.
    Ended(Part),
    /// A writer has begun a transaction, but has not written to the database.
    InUse,
    /// Its writer is gone, and the database may hold half of a transaction that it undoes.
    Hot,
}

impl Journal {
    /// Looks at the journal of a database on which a reader's lock is held (`lock`), in the way SQLite does.
    pub(super) fn find(place: &Place, lock: &File) -> io::Result<Self> {
        match Part::at(place, "-journal")? {
            None => return Ok(Self::None),
            Some(journal) if journal.has_ended() => return Ok(Self::Ended(journal)),
            Some(_) if platform::is_locked(lock, RESERVED)? => return Ok(Self::InUse),
            Some(_) => {}
        }
        // Nobody writes now, but its writer may have come to an end, or another begun, between the two looks.
        Ok(match Part::at(place, "-journal")? {
            None => Self::None,
            Some(journal) if journal.has_ended() => Self::Ended(journal),
            Some(_) if platform::is_locked(lock, RESERVED)? => Self::InUse,
            Some(_) => Self::Hot,
        })
    }
}
