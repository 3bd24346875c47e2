//! A small SQLite database that changes from day to day.

use std::path::Path;

use rusqlite::{Connection, Result};

/// Adds messages to the database at `path`, which is made if there is none, and deletes the oldest beyond `keep`.
pub fn add_messages(path: &Path, messages: &[String], keep: usize) -> Result<()> {
    let mut connection = Connection::open(path)?;
    let transaction = connection.transaction()?;
    transaction.execute("CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, text TEXT)", ())?;
    for text in messages {
        transaction.execute("INSERT INTO message (text) VALUES (?)", [text])?;
    }
    let oldest = "DELETE FROM message WHERE id NOT IN (SELECT id FROM message ORDER BY id DESC LIMIT ?)";
    transaction.execute(oldest, [i64::try_from(keep).unwrap_or(i64::MAX)])?;
    transaction.commit()
}
