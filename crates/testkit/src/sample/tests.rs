use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::*;

/// The example as it is committed.
fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/whatsapp")
}

/// A copy of the committed message store, so that nothing is left beside the original.
fn database() -> (TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("msgstore.db");
    fs::copy(committed().join("Databases/msgstore.db"), &copy).unwrap();
    let connection = Connection::open(copy).unwrap();
    (folder, connection)
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

fn column<T: FromSql>(database: &Connection, query: &str) -> Vec<T> {
    let mut statement = database.prepare(query).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn is_the_same_every_time_and_as_committed() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(one.path()).unwrap();
    make(other.path()).unwrap();
    let (one, other) = (files(one.path()), files(other.path()));
    assert!(one == other);

    let committed = files(&committed());
    assert_eq!(committed.keys().collect::<Vec<_>>(), one.keys().collect::<Vec<_>>(), "remake it: examples/README.md");
    // The last bits of a picture depend on the processor's arithmetic: the committed ones were drawn on x86-64.
    if cfg!(target_arch = "x86_64") {
        for (name, bytes) in &one {
            assert!(committed.get(name) == Some(bytes), "{name} differs, remake it: examples/README.md");
        }
    }
}

#[test]
fn never_touches_a_folder_in_use() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    assert!(matches!(make(folder.path()), Err(SampleError::NotEmpty)));
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn is_small() {
    let bytes: usize = files(&committed()).values().map(Vec::len).sum();
    assert!(bytes < 1_000_000, "{bytes} bytes");
}

#[test]
fn database_is_as_on_android() {
    let (_folder, database) = database();
    let pragma = |name: &str| column::<i64>(&database, &format!("PRAGMA {name}"));
    assert_eq!(pragma("page_size"), [4096]);
    assert_eq!(pragma("auto_vacuum"), [1]);
    assert_eq!(pragma("user_version"), [1]);
    assert_eq!(column::<String>(&database, "PRAGMA integrity_check"), ["ok"]);
    database.execute("INSERT INTO message_ftsv2 (message_ftsv2) VALUES ('integrity-check')", []).unwrap();
}

#[test]
fn every_row_belongs_to_one_that_is_there() {
    let (_folder, database) = database();
    let tables: Vec<String> = column(
        &database,
        "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c
             WHERE m.type = 'table' AND (c.name LIKE '%message_row_id' OR c.name LIKE '%chat_row_id'
             OR c.name LIKE '%jid_row_id' OR c.name LIKE '%add_on_row_id')",
    );
    assert!(tables.len() > 40);
    for name in tables {
        let (table, field) = name.split_once('.').unwrap();
        let parent = ["message_add_on", "message", "chat", "jid"];
        let owner = match field {
            _ if field.ends_with("add_on_row_id") => parent[0],
            _ if field.ends_with("message_row_id") => parent[1],
            _ if field.ends_with("chat_row_id") => parent[2],
            _ => parent[3],
        };
        let orphans: Vec<i64> = column(
            &database,
            &format!("SELECT count(*) FROM {table} WHERE {field} > 0 AND {field} NOT IN (SELECT _id FROM {owner})"),
        );
        assert_eq!(orphans, [0], "{name}");
    }
}

#[test]
fn time_only_goes_on() {
    let (_folder, database) = database();
    let times: Vec<i64> = column(&database, "SELECT timestamp FROM message WHERE _id > 1 ORDER BY _id");
    assert!(times.len() >= 300);
    assert!(times.is_sorted());
    let in_chats: Vec<(i64, i64)> = {
        let mut statement = database.prepare("SELECT chat_row_id, timestamp FROM message WHERE _id > 1").unwrap();
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(in_chats.iter().collect::<BTreeSet<_>>().len(), in_chats.len(), "no two at once in one chat");
}

#[test]
fn media_are_what_the_database_says() {
    let (_folder, database) = database();
    let on_disk = files(&committed());
    let mut statement = database
        .prepare("SELECT file_path, file_hash, file_length, strftime('%Y%m%d', timestamp / 1000 + 3600, 'unixepoch'),
                      forward_score IS NULL FROM message_media
                  JOIN message ON _id = message_media.message_row_id LEFT JOIN message_forwarded f ON f.message_row_id = _id")
        .unwrap();
    let mut named = BTreeSet::new();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (path, hash): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        let bytes = &on_disk[&path];
        assert_eq!(hash, BASE64_STANDARD.encode(Sha256::digest(bytes)), "{path}");
        assert_eq!(row.get::<_, u32>(2).unwrap() as usize, bytes.len(), "{path}");
        let (day, original): (String, bool) = (row.get(3).unwrap(), row.get(4).unwrap());
        assert!(!original || path.contains(&format!("-{day}-WA")), "{path} of {day}");
        named.insert(path);
    }
    let media: BTreeSet<String> = on_disk.into_keys().filter(|path| path.starts_with("Media/")).collect();
    assert_eq!(named, media);
}

#[test]
fn has_something_of_everything() {
    let (_folder, database) = database();
    let kinds: Vec<i64> = column(&database, "SELECT DISTINCT message_type FROM message WHERE _id > 1 ORDER BY 1");
    assert_eq!(kinds, [0, 1, 2, 4, 5, 7, 15, 66, 90]);
    for table in [
        "message_quoted",
        "message_add_on_reaction",
        "message_edit_info",
        "message_revoked",
        "message_forwarded",
        "message_mentions",
        "message_text",
        "message_add_on_poll_vote_selected_option",
        "message_call_log",
        "message_system_value_change",
        "receipt_user",
    ] {
        let rows: Vec<i64> = column(&database, &format!("SELECT count(*) FROM {table}"));
        assert!(rows[0] > 0, "{table} is empty");
    }
    let unknown_names: Vec<String> = {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let contacts = Connection::open_with_flags(committed().join("Databases/wa.db"), flags).unwrap();
        column(&contacts, "SELECT wa_name FROM wa_contacts WHERE display_name IS NULL")
    };
    assert_eq!(unknown_names, ["Kit 🎣"]);
}

#[test]
fn a_story_with_a_mistake_names_the_line() {
    let error = |text: &str| Story::parse(text).unwrap_err().to_string();
    let head = "@zone +01:00\n@me nora 1 | Nora\n@person tom 2 | Tom\n@chat tom\n@day 2025-05-01\n";
    assert!(error(&format!("{head}09:00 tim: hello\n")).contains("line 6 of the story: who is tim?"));
    assert!(error(&format!("{head}09:00 tom [sang]: hello\n")).contains("what is [sang]?"));
    assert!(error(&format!("{head}09:05 tom: hello\n09:01 nora: oh\n")).contains("later"));
    assert!(error(&format!("{head}09:00 tom: hello\n  + nora 👍\n  + nora 😂\n")).contains("twice"));
}
