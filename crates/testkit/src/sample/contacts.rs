//! Writes `wa.db`: the address book.

use std::path::Path;

use rusqlite::{Connection, params};

use super::SampleError;
use super::story::{OWNER, Person, Story};

const SCHEMA: &str = include_str!("../../assets/wa.sql");

pub(super) fn write(story: &Story, path: &Path) -> Result<(), SampleError> {
    let mut database = Connection::open(path)?;
    database.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = FULL; PRAGMA user_version = 1;")?;
    let transaction = database.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    for (index, person) in story.people.iter().enumerate() {
        if index != OWNER {
            insert(&transaction, person)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Somebody who is not in the address book is still known by the name they gave themselves.
fn insert(database: &Connection, person: &Person) -> Result<(), SampleError> {
    let name = Some(person.name.as_str()).filter(|name| !name.is_empty());
    let (given, family) = match name.and_then(|name| name.split_once(' ')) {
        Some((given, family)) => (Some(given), Some(family)),
        None => (name, None),
    };
    let company = Some(person.company.as_str()).filter(|company| !company.is_empty());
    database.execute(
        "INSERT INTO wa_contacts (jid, is_whatsapp_user, status, number, display_name, given_name, family_name,
             wa_name, sort_name, company) VALUES (?1, 1, '', ?2, ?3, ?4, ?5, ?6, ?3, ?7)",
        params![person.jid(), format!("+{}", person.number), name, given, family, person.push_name, company],
    )?;
    Ok(())
}
