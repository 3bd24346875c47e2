//! What tells one state of a database on disk from the next.

use std::fs::File;
use std::io::{self, Read, Seek};

use crate::folder::{Place, open_file};
use crate::stat::Stamp;

/// The state of a database and of the files that are part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    database: Option<Part>,
    journal: Option<Part>,
    wal: Option<Part>,
}

/// The state of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    stamp: Stamp,
    head: Vec<u8>,
}

/// How much of a file's beginning is compared: enough for a database's change counter and a log's salts.
const HEAD_LEN: u64 = 100;

impl State {
    /// Reads the state of the database at `place`. It opens and closes the files: no SQLite connection of this
    /// process may be open on them.
    pub(crate) fn read(place: &Place) -> io::Result<Self> {
        Ok(Self {
            database: Part::at(place, "")?,
            journal: Part::at(place, "-journal")?,
            wal: Part::at(place, "-wal")?,
        })
    }

    /// The state of a database without a write-ahead log.
    pub(super) fn without_log(database: Part, journal: Option<Part>) -> Self {
        Self { database: Some(database), journal, wal: None }
    }

    /// Whether the database asks for a write-ahead log, or one is there.
    pub(super) fn has_write_ahead_log(&self) -> bool {
        self.wal.is_some() || self.database.as_ref().is_some_and(Part::asks_for_write_ahead_log)
    }

    /// Whether a file beside the database, as it is `found` now, is to be kept with this state.
    ///
    /// One that was not there is of a later transaction: together with this state, SQLite would take it for the
    /// database's own and undo or redo what never happened to it. One that says nothing, and has changed or gone,
    /// is left out too. Any other must be kept, and it is an error if it cannot be.
    pub(crate) fn keeps(&self, suffix: &str, found: Option<Stamp>) -> bool {
        match self.part(suffix) {
            None if suffix == "-shm" => found.is_some(),
            None => false,
            Some(then) => !then.has_ended() || found == Some(then.stamp),
        }
    }

    /// Whether the database alone, without this file beside it, is not what its application committed.
    pub(crate) fn needs(&self, suffix: &str) -> bool {
        self.part(suffix).is_some_and(|then| !then.has_ended())
    }

    /// The part that a file beside the database has in the state.
    fn part(&self, suffix: &str) -> Option<&Part> {
        match suffix {
            "-journal" => self.journal.as_ref(),
            "-wal" => self.wal.as_ref(),
            _ => None,
        }
    }

    /// Whether this is the state of the database that has this stamp.
    pub(crate) fn is_of(&self, stamp: &Stamp) -> bool {
        self.database.as_ref().is_some_and(|database| database.stamp == *stamp)
    }
}

impl Part {
    /// The state of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self { stamp: Stamp::of(file)?, head: head(file)? })
    }

    /// The state of the file whose name is the database's with `suffix`; `None` if there is no such file.
    pub(super) fn at(place: &Place, suffix: &str) -> io::Result<Option<Self>> {
        let name = place.beside(suffix);
        let opened = match place.dir.symlink_metadata(&name) {
            Ok(found) if !found.is_file() => return Ok(None),
            Ok(_) => open_file(&place.dir, &name),
            Err(error) => Err(error),
        };
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => Self::of(&opened?).map(Some),
        }
    }

    /// Whether this is the state of the file that has the database's name now.
    pub(super) fn is_at(&self, place: &Place) -> bool {
        place.dir.symlink_metadata(&place.name).is_ok_and(|found| Stamp::from(&found).id == self.stamp.id)
    }

    /// Whether a database's format versions (bytes 18 and 19) ask for a write-ahead log.
    pub(super) fn asks_for_write_ahead_log(&self) -> bool {
        self.head.get(18..20) == Some(&[2, 2])
    }

    /// Whether a journal or log says nothing: an application empties it, or clears its first bytes, when what it
    /// was for has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.head.first().is_none_or(|first| *first == 0)
    }
}

/// The beginning of a file. Leaves the file's position at its beginning.
pub(super) fn head(mut file: &File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.rewind()?;
    file.take(HEAD_LEN).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}
