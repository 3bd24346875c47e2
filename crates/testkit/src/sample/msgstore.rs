//! Writes `msgstore.db`: chats and messages, in the tables of a modern Android message store.
//!
//! The schema is the corpus's own, so that measurements and the example agree on it.

mod details;

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::story::{Chat, Kind, Message, OWNER, PersonIndex, Story};
use super::{SampleError, noise};

const SCHEMA: &str = include_str!("../../../../benches/corpus/schema.sql");
const EXTRA_TABLES: &str = include_str!("../../assets/msgstore-extra.sql");

const PROPS: [(&str, &str); 8] = [
    ("fts_ready", "5"),
    ("fts_index_start", "0"),
    ("chat_ready", "2"),
    ("jid_ready", "2"),
    ("receipt_user_ready", "2"),
    ("media_message_ready", "2"),
    ("call_log_ready", "1"),
    ("links_ready", "1"),
];

/// A file that messages refer to.
pub(super) struct MediaFile {
    /// The path in the example's folder, as the database names it.
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) at_ms: i64,
}

/// Writes the database and returns the media files that it names.
pub(super) fn write(story: &Story, path: &Path) -> Result<Vec<MediaFile>, SampleError> {
    let mut database = Connection::open(path)?;
    database.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = FULL; PRAGMA user_version = 1;")?;
    let transaction = database.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(EXTRA_TABLES)?;
    let mut writer = Writer { database: &transaction, story, labels: HashMap::new(), files: Vec::new() };
    writer.props()?;
    writer.jids()?;
    writer.chats()?;
    writer.messages()?;
    writer.chat_summaries()?;
    let files = writer.files;
    transaction.commit()?;
    Ok(files)
}

struct Writer<'a> {
    database: &'a Connection,
    story: &'a Story,
    /// Messages by the label that replies name them by.
    labels: HashMap<&'a str, Row<'a>>,
    files: Vec<MediaFile>,
}

/// A message and what its row says of it.
#[derive(Clone)]
struct Row<'a> {
    id: i64,
    message: &'a Message,
    key: String,
    /// 0 for the owner's messages and for the other person of a conversation of two.
    sender_jid: i64,
    /// `None` where the row's text is NULL.
    text: Option<String>,
}

impl Row<'_> {
    fn chat(&self) -> i64 {
        chat_row(self.message.chat)
    }

    fn by_owner(&self) -> bool {
        self.message.sender == OWNER
    }
}

/// The first message row is a sentinel of no chat, as in the app's own databases.
fn message_row(index: usize) -> i64 {
    count(index) + 2
}

fn chat_row(index: usize) -> i64 {
    count(index) + 1
}

fn person_jid_row(person: PersonIndex) -> i64 {
    count(person) + 1
}

/// A number as SQLite takes it.
fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A message id: 128 bits in hexadecimal.
fn key_id(purpose: &str, number: i64) -> String {
    noise(purpose, number).iter().take(16).map(|byte| format!("{byte:02X}")).collect()
}

impl<'a> Writer<'a> {
    fn props(&self) -> Result<(), SampleError> {
        let name = self.story.people.first().map(|owner| ("user_push_name", owner.name.as_str()));
        for (key, value) in PROPS.into_iter().chain(name) {
            self.database.execute("INSERT INTO props (key, value) VALUES (?1, ?2)", params![key, value])?;
        }
        Ok(())
    }

    /// People come first, then groups: see [`person_jid_row`] and [`Self::chat_jid_row`].
    fn jids(&self) -> Result<(), SampleError> {
        let insert = "INSERT INTO jid (user, server, agent, device, type, raw_string) VALUES (?1, ?2, 0, 0, ?3, ?4)";
        for person in &self.story.people {
            self.database.execute(insert, params![person.number, "s.whatsapp.net", 0, person.jid()])?;
        }
        for chat in &self.story.chats {
            if let Chat::Group { created_ms, .. } = chat {
                let user = format!("120363{created_ms:012}");
                self.database.execute(insert, params![user, "g.us", 1, format!("{user}@g.us")])?;
            }
        }
        Ok(())
    }

    fn chat_jid_row(&self, index: usize) -> i64 {
        match self.story.chats.get(index) {
            Some(Chat::Person(person)) => person_jid_row(*person),
            _ => {
                let before = self.story.chats.iter().take(index);
                let groups = before.filter(|chat| matches!(chat, Chat::Group { .. })).count();
                count(self.story.people.len() + groups) + 1
            }
        }
    }

    fn chats(&self) -> Result<(), SampleError> {
        for (index, chat) in self.story.chats.iter().enumerate() {
            let first = self.story.messages.iter().find(|message| message.chat == index);
            let (subject, created_ms) = match chat {
                Chat::Person(_) => (None, first.map(|message| message.at_ms)),
                Chat::Group { subject, created_ms, .. } => (Some(subject), Some(*created_ms)),
            };
            self.database.execute(
                "INSERT INTO chat (_id, jid_row_id, hidden, subject, created_timestamp, archived, sort_timestamp,
                     ephemeral_expiration, unseen_message_count, unseen_missed_calls_count, unseen_row_count)
                 VALUES (?1, ?2, 0, ?3, ?4, 0, 0, 0, 0, 0, 0)",
                params![chat_row(index), self.chat_jid_row(index), subject, created_ms],
            )?;
            if let Chat::Group { founder, members, .. } = chat {
                for member in members {
                    self.participant(index, *member, if member == founder { 2 } else { 0 })?;
                }
            }
        }
        Ok(())
    }

    fn participant(&self, chat: usize, person: PersonIndex, rank: i64) -> Result<(), SampleError> {
        self.database.execute(
            "INSERT OR IGNORE INTO group_participant_user (group_jid_row_id, user_jid_row_id, rank, pending)
             VALUES (?1, ?2, ?3, 0)",
            params![self.chat_jid_row(chat), person_jid_row(person), rank],
        )?;
        Ok(())
    }

    fn messages(&mut self) -> Result<(), SampleError> {
        self.database.execute(
            "INSERT INTO message (_id, chat_row_id, from_me, key_id, sort_id) VALUES (1, -1, 0, '-1', 0)",
            [],
        )?;
        let story = self.story;
        for (index, message) in story.messages.iter().enumerate() {
            let row = self.row(message_row(index), message);
            self.message(&row)?;
            self.details(&row)?;
            if let Some(label) = &message.label {
                self.labels.insert(label, row);
            }
        }
        Ok(())
    }

    fn row(&self, id: i64, message: &'a Message) -> Row<'a> {
        let in_group = matches!(self.story.chats.get(message.chat), Some(Chat::Group { .. }));
        let sender_jid = if in_group && message.sender != OWNER { person_jid_row(message.sender) } else { 0 };
        let text = match &message.kind {
            Kind::Text | Kind::Photo(_) | Kind::Poll { .. } | Kind::Created | Kind::Subject => {
                self.with_mentions(message)
            }
            Kind::Card(person) => self.story.people.get(*person).map(|person| person.name.clone()).unwrap_or_default(),
            Kind::Voice(_) | Kind::Place(..) | Kind::Call { .. } => String::new(),
            Kind::Added(_) | Kind::Encrypted | Kind::Deleted => String::new(),
        };
        let text = Some(text).filter(|text| !text.is_empty());
        Row { id, message, key: key_id("message", id), sender_jid, text }
    }

    /// The app writes `@` and a number where somebody is mentioned.
    fn with_mentions(&self, message: &Message) -> String {
        self.mentioned(message).fold(message.text.clone(), |text, person| match self.story.people.get(person) {
            Some(person) => text.replace(&person.mention(), &format!("@{}", person.number)),
            None => text,
        })
    }

    fn mentioned(&self, message: &Message) -> impl Iterator<Item = PersonIndex> {
        let people = self.story.people.iter().enumerate();
        people.filter(|(_, person)| message.text.contains(&person.mention())).map(|(index, _)| index)
    }

    fn recipients(&self, message: &Message) -> Vec<PersonIndex> {
        match self.story.chats.get(message.chat) {
            Some(Chat::Person(person)) => vec![*person],
            Some(Chat::Group { members, .. }) => members.iter().copied().filter(|member| *member != OWNER).collect(),
            None => Vec::new(),
        }
    }

    fn message(&self, row: &Row<'_>) -> Result<(), SampleError> {
        let message = row.message;
        let own_in_group = row.by_owner() && matches!(self.story.chats.get(message.chat), Some(Chat::Group { .. }));
        let recipients = if own_in_group { count(self.recipients(message).len()) } else { 0 };
        let status = match (message.kind.is_notice(), row.by_owner()) {
            (true, _) => 6,
            (false, true) => 13,
            (false, false) => 0,
        };
        let (received_ms, server_ms) =
            if row.by_owner() { (0, message.at_ms + 180) } else { (message.at_ms + 420, -1) };
        self.database.execute(
            "INSERT INTO message (_id, chat_row_id, from_me, key_id, sender_jid_row_id, status, broadcast,
                 recipient_count, participant_hash, origination_flags, origin, timestamp, received_timestamp,
                 receipt_server_timestamp, message_type, text_data, starred, lookup_tables, message_add_on_flags, sort_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?1)",
            params![
                row.id,
                row.chat(),
                row.by_owner(),
                row.key,
                row.sender_jid,
                status,
                recipients,
                own_in_group.then(|| format!("2:{}", key_id("members", row.chat()).get(..8).unwrap_or_default())),
                message.flags.forwarded,
                matches!(message.kind, Kind::Voice(_)),
                message.at_ms,
                received_ms,
                server_ms,
                message.kind.message_type(),
                row.text,
                message.flags.starred,
                i64::from(message.link().is_some()) | i64::from(message.reply_to.is_some()) << 1,
                !message.reactions.is_empty() || matches!(message.kind, Kind::Poll { .. }),
            ],
        )?;
        Ok(())
    }

    fn chat_summaries(&self) -> Result<(), SampleError> {
        for index in 0..self.story.chats.len() {
            let chat = chat_row(index);
            let last = self.database.query_row(
                "SELECT _id, timestamp FROM message WHERE chat_row_id = ?1 ORDER BY sort_id DESC LIMIT 1",
                [chat],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
            );
            let Some((row, at_ms)) = last.optional()? else { continue };
            self.database.execute(
                "UPDATE chat SET display_message_row_id = ?2, last_message_row_id = ?2, last_read_message_row_id = ?2,
                     last_read_receipt_sent_message_row_id = ?2, last_important_message_row_id = ?2,
                     sort_timestamp = ?3, last_read_message_sort_id = ?2, display_message_sort_id = ?2,
                     last_message_sort_id = ?2 WHERE _id = ?1",
                params![chat, row, at_ms],
            )?;
        }
        Ok(())
    }
}

impl Kind {
    /// The number in `message.message_type`.
    fn message_type(&self) -> i64 {
        match self {
            Self::Text => 0,
            Self::Photo(_) => 1,
            Self::Voice(_) => 2,
            Self::Card(_) => 4,
            Self::Place(..) => 5,
            Self::Created | Self::Subject | Self::Added(_) | Self::Encrypted => 7,
            Self::Deleted => 15,
            Self::Poll { .. } => 66,
            Self::Call { .. } => 90,
        }
    }

    fn is_notice(&self) -> bool {
        self.message_type() == 7
    }
}
