//! The example: an invented WhatsApp folder, laid out as on Android, that documentation and tests live on.
//!
//! The story is told in `assets/story.txt`, the pictures are drawn in `assets/pictures`. Nothing depends on a
//! clock, on chance or on file times: the same sources and the same SQLite give the same bytes.

mod contacts;
mod media;
mod msgstore;
mod story;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

pub use media::MediaError;
use msgstore::MediaFile;
use story::Story;
pub use story::StoryError;

const STORY: &str = include_str!("../assets/story.txt");

/// An example that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// There is something in the folder already; nothing is ever overwritten.
    #[error("the folder is not empty")]
    NotEmpty,
    /// The story can't be read.
    #[error(transparent)]
    Story(#[from] StoryError),
    /// The story answers or opens something that it does not have.
    #[error("the story names {0}, which it does not have")]
    Unknown(String),
    /// A picture or recording can't be made.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// SQLite refused.
    #[error("a database can't be written")]
    Database(#[from] rusqlite::Error),
    /// A file or folder can't be written.
    #[error("a file can't be written")]
    Io(#[from] io::Error),
}

/// Makes the example in a new or empty folder.
pub fn make(folder: &Path) -> Result<(), SampleError> {
    fs::create_dir_all(folder)?;
    if fs::read_dir(folder)?.next().is_some() {
        return Err(SampleError::NotEmpty);
    }
    let story = Story::parse(STORY)?;
    let databases = folder.join("Databases");
    fs::create_dir(&databases)?;
    let msgstore = databases.join("msgstore.db");
    let files = msgstore::write(&story, &msgstore)?;
    for file in &files {
        write_media(folder, file)?;
    }
    let contacts = databases.join("wa.db");
    contacts::write(&story, &contacts)?;
    if let Some(last) = story.messages.last() {
        set_time(&msgstore, last.at_ms)?;
        set_time(&contacts, last.at_ms)?;
    }
    Ok(())
}

fn write_media(folder: &Path, file: &MediaFile) -> Result<(), SampleError> {
    let path = folder.join(&file.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&path, &file.bytes)?;
    set_time(&path, file.at_ms)?;
    Ok(())
}

fn set_time(path: &Path, at_ms: i64) -> io::Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(at_ms.unsigned_abs());
    File::options().append(true).open(path)?.set_modified(time)
}

/// Bytes that look random and are always the same: keys and ids of the invented messages.
fn noise(purpose: &str, number: i64) -> [u8; 32] {
    Sha256::digest(format!("hushkeep example/{purpose}/{number}")).into()
}

#[cfg(test)]
mod tests;
