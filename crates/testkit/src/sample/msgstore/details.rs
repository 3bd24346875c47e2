//! The side rows of a message: what it quotes, carries, links to, and how others answered it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use rusqlite::params;
use sha2::{Digest, Sha256};

use super::{MediaFile, Row, Writer, count, key_id, person_jid_row};
use crate::sample::media::{self, Picture};
use crate::sample::story::{Kind, Message, OWNER};
use crate::sample::{SampleError, noise};

const ADD_ON_REACTION: i64 = 56;
const ADD_ON_POLL_VOTE: i64 = 67;

const NOTICE_SUBJECT: i64 = 1;
const NOTICE_CREATED: i64 = 11;
const NOTICE_ADDED: i64 = 12;
const NOTICE_ENCRYPTED: i64 = 67;

/// What `message_media` says of a file.
struct Media<'a> {
    path: String,
    mime_type: &'a str,
    bytes: &'a [u8],
    seconds: i64,
    width: u32,
    height: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn details(&mut self, row: &Row<'a>) -> Result<(), SampleError> {
        match &row.message.kind {
            Kind::Text => {}
            Kind::Photo(name) => self.photo(row, name)?,
            Kind::Voice(name) => self.voice(row, name)?,
            Kind::Card(person) => self.card(row, *person)?,
            Kind::Place(latitude, longitude) => self.place(row, *latitude, *longitude)?,
            Kind::Poll { selectable, options } => self.poll(row, *selectable, options)?,
            Kind::Call { video, seconds } => self.call(row, *video, *seconds)?,
            Kind::Created => self.notice(row, NOTICE_CREATED)?,
            Kind::Subject => self.subject(row)?,
            Kind::Added(people) => self.added(row, people)?,
            Kind::Encrypted => self.notice(row, NOTICE_ENCRYPTED)?,
            Kind::Deleted => self.deleted(row)?,
        }
        if !row.message.kind.is_notice() {
            self.secret(row)?;
            self.receipts(row)?;
        }
        self.words(row)?;
        self.flags(row)?;
        self.quote(row)?;
        self.reactions(row)
    }

    fn secret(&self, row: &Row<'_>) -> Result<(), SampleError> {
        let secret = noise("secret", row.id);
        self.database.execute("INSERT INTO message_secret VALUES (?1, ?2)", params![row.id, secret])?;
        Ok(())
    }

    /// Everybody received and read what the owner wrote.
    fn receipts(&self, row: &Row<'_>) -> Result<(), SampleError> {
        if !row.by_owner() || matches!(row.message.kind, Kind::Call { .. }) {
            return Ok(());
        }
        let played = matches!(row.message.kind, Kind::Voice(_));
        for (delay, person) in (1_i64..).zip(self.recipients(row.message)) {
            let (received_ms, read_ms) = (row.message.at_ms + 900 * delay, row.message.at_ms + 21_000 * delay);
            self.database.execute(
                "INSERT INTO receipt_user (message_row_id, receipt_user_jid_row_id, receipt_timestamp, read_timestamp,
                     played_timestamp) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![row.id, person_jid_row(person), received_ms, read_ms, played.then_some(read_ms)],
            )?;
        }
        Ok(())
    }

    /// The full text index, mentions, and the preview of a link.
    fn words(&self, row: &Row<'_>) -> Result<(), SampleError> {
        let Some(text) = &row.text else { return Ok(()) };
        let kind = row.message.kind.message_type();
        self.database.execute(
            "INSERT INTO message_ftsv2 (docid, content, fts_jid, fts_namespace) VALUES (?1, ?2, ?3, ?4)",
            params![row.id, text.to_lowercase(), format!("fts_jid_{}", row.chat()), format!("n{kind}")],
        )?;
        for person in self.mentioned(row.message) {
            self.database.execute(
                "INSERT INTO message_mentions (message_row_id, jid_row_id) VALUES (?1, ?2)",
                params![row.id, person_jid_row(person)],
            )?;
        }
        let Some(url) = row.message.link() else { return Ok(()) };
        self.database.execute(
            "INSERT INTO message_link (chat_row_id, message_row_id, link_index) VALUES (?1, ?2, 0)",
            params![row.chat(), row.id],
        )?;
        self.database.execute(
            "INSERT INTO message_text (message_row_id, description, page_title, url, font_style, text_color,
                 background_color, preview_type) VALUES (?1, ?2, ?3, ?4, 0, 0, 0, 0)",
            params![row.id, "High water 05:21 and 17:52", "Porthkellan tides: Saturday 31 May", url],
        )?;
        Ok(())
    }

    fn flags(&self, row: &Row<'_>) -> Result<(), SampleError> {
        if row.message.flags.forwarded {
            self.database.execute("INSERT INTO message_forwarded VALUES (?1, 1)", [row.id])?;
        }
        if row.message.flags.edited {
            let at_ms = row.message.at_ms;
            self.database.execute(
                "INSERT INTO message_edit_info VALUES (?1, ?2, ?3, ?4)",
                params![row.id, row.key, at_ms + 48_000, at_ms + 47_500],
            )?;
        }
        Ok(())
    }

    /// A reply carries a copy of what it answers.
    fn quote(&self, row: &Row<'_>) -> Result<(), SampleError> {
        let Some(label) = &row.message.reply_to else { return Ok(()) };
        let quoted = self.labels.get(label.as_str()).ok_or_else(|| SampleError::Unknown(label.clone()))?;
        self.database.execute(
            "INSERT INTO message_quoted (message_row_id, chat_row_id, parent_message_chat_row_id, from_me,
                 sender_jid_row_id, key_id, timestamp, message_type, origin, text_data, lookup_tables)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0)",
            params![
                row.id,
                row.chat(),
                quoted.chat(),
                quoted.by_owner(),
                quoted.sender_jid,
                quoted.key,
                quoted.message.at_ms,
                quoted.message.kind.message_type(),
                matches!(quoted.message.kind, Kind::Voice(_)),
                quoted.text,
            ],
        )?;
        Ok(())
    }

    fn reactions(&self, row: &Row<'_>) -> Result<(), SampleError> {
        for (delay, (person, emoji)) in (1_i64..).zip(&row.message.reactions) {
            let at_ms = row.message.at_ms + 30_000 * delay;
            let add_on = self.add_on(row, *person, at_ms, ADD_ON_REACTION)?;
            self.database.execute(
                "INSERT INTO message_add_on_reaction VALUES (?1, ?2, ?3)",
                params![add_on, emoji, at_ms - 250],
            )?;
            self.database.execute(
                "UPDATE chat SET last_message_reaction_row_id = ?2, last_seen_message_reaction_row_id = ?2,
                     unseen_message_reaction_count = 0 WHERE _id = ?1",
                params![row.chat(), add_on],
            )?;
        }
        Ok(())
    }

    fn add_on(&self, row: &Row<'_>, person: usize, at_ms: i64, kind: i64) -> Result<i64, SampleError> {
        let from_me = person == OWNER;
        let number = self.database.query_row("SELECT count(*) FROM message_add_on", [], |row| row.get(0))?;
        self.database.execute(
            "INSERT INTO message_add_on (chat_row_id, from_me, key_id, sender_jid_row_id, parent_message_row_id,
                 timestamp, status, message_add_on_type) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                row.chat(),
                from_me,
                key_id("add-on", number),
                if from_me { 0 } else { person_jid_row(person) },
                row.id,
                at_ms,
                if from_me { 13 } else { 0 },
                kind,
            ],
        )?;
        Ok(self.database.last_insert_rowid())
    }

    fn photo(&mut self, row: &Row<'_>, name: &str) -> Result<(), SampleError> {
        let Picture { jpeg, thumbnail, width, height } = media::picture(name)?;
        let folder = if row.by_owner() { "WhatsApp Images/Sent" } else { "WhatsApp Images" };
        let path = self.keep(row.message, &jpeg, folder, "IMG", "jpg")?;
        self.media(row, &Media { path, mime_type: "image/jpeg", bytes: &jpeg, seconds: 0, width, height })?;
        self.database.execute("INSERT INTO message_thumbnail VALUES (?1, ?2)", params![row.id, thumbnail])?;
        Ok(())
    }

    fn voice(&mut self, row: &Row<'_>, name: &str) -> Result<(), SampleError> {
        let recording = media::recording(name)?;
        let week = self.local_date(row.message)?.iso_week_date();
        let folder = format!("WhatsApp Voice Notes/{}{:02}", week.year(), week.week());
        let path = self.keep(row.message, recording.opus, &folder, "PTT", "opus")?;
        let (mime_type, bytes, seconds) = ("audio/ogg; codecs=opus", recording.opus, recording.seconds);
        self.media(row, &Media { path, mime_type, bytes, seconds, width: 0, height: 0 })?;
        self.database.execute("INSERT INTO audio_data VALUES (?1, ?2)", params![row.id, recording.waveform])?;
        Ok(())
    }

    /// Names a media file, or finds the file that a forwarded message shares with the first.
    fn keep(
        &mut self,
        message: &Message,
        bytes: &[u8],
        folder: &str,
        prefix: &str,
        extension: &str,
    ) -> Result<String, SampleError> {
        let known = self.files.iter().find(|file| file.bytes == bytes).map(|file| file.path.clone());
        let path = match known {
            Some(path) => path,
            None => {
                let day = self.local_date(message)?.strftime("%Y%m%d").to_string();
                let serial = self.files.iter().filter(|file| file.path.contains(&format!("-{day}-"))).count();
                let path = format!("Media/{folder}/{prefix}-{day}-WA{serial:04}.{extension}");
                self.files.push(MediaFile { path: path.clone(), bytes: bytes.to_vec(), at_ms: message.at_ms });
                path
            }
        };
        self.database.execute(
            "INSERT INTO media_refs (path, ref_count) VALUES (?1, 1)
                 ON CONFLICT (path) DO UPDATE SET ref_count = ref_count + 1",
            [&path],
        )?;
        Ok(path)
    }

    fn local_date(&self, message: &Message) -> Result<jiff::civil::Date, SampleError> {
        let moment =
            Timestamp::from_millisecond(message.at_ms).map_err(|_| SampleError::Unknown("a time".to_owned()))?;
        Ok(self.story.zone.to_datetime(moment).date())
    }

    fn media(&self, row: &Row<'_>, media: &Media<'_>) -> Result<(), SampleError> {
        let hash = BASE64_STANDARD.encode(Sha256::digest(media.bytes));
        let ratio = if media.width > 0 { f64::from(media.height) / f64::from(media.width) } else { 0.0 };
        self.database.execute(
            "INSERT INTO message_media (message_row_id, chat_row_id, autotransfer_retry_enabled, transferred, transcoded,
                 file_path, file_size, suspicious_content, media_key, media_key_timestamp, width, height,
                 has_streaming_sidecar, thumbnail_height_width_ratio, mime_type, file_length, file_hash, media_duration,
                 page_count, enc_file_hash, is_animated_sticker)
             VALUES (?1, ?2, 1, 1, 0, ?3, ?4, 0, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?4, ?11,
                 ?12, 0, ?13, 0)",
            params![
                row.id,
                row.chat(),
                media.path,
                count(media.bytes.len()),
                noise("media key", row.id),
                row.message.at_ms / 1000 - 5,
                media.width,
                media.height,
                ratio,
                media.mime_type,
                hash,
                media.seconds,
                BASE64_STANDARD.encode(noise("encrypted file", row.id)),
            ],
        )?;
        Ok(())
    }

    fn card(&self, row: &Row<'_>, person: usize) -> Result<(), SampleError> {
        let Some(whose) = self.story.people.get(person) else { return Ok(()) };
        let (name, company, number) = (&whose.name, &whose.company, &whose.number);
        let vcard = format!(
            "BEGIN:VCARD\nVERSION:3.0\nN:;{name};;;\nFN:{name}\nORG:{company}\n\
             TEL;type=CELL;type=VOICE;waid={number}:+{number}\nEND:VCARD"
        );
        self.database
            .execute("INSERT INTO message_vcard (message_row_id, vcard) VALUES (?1, ?2)", params![row.id, vcard])?;
        self.database.execute(
            "INSERT INTO message_vcard_jid (vcard_jid_row_id, vcard_row_id, message_row_id) VALUES (?1, ?2, ?3)",
            params![person_jid_row(person), self.database.last_insert_rowid(), row.id],
        )?;
        Ok(())
    }

    fn place(&self, row: &Row<'_>, latitude: f64, longitude: f64) -> Result<(), SampleError> {
        let (name, address) = row.message.text.split_once(" | ").unwrap_or((&row.message.text, ""));
        self.database.execute(
            "INSERT INTO message_location (message_row_id, chat_row_id, latitude, longitude, place_name, place_address)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![row.id, row.chat(), latitude, longitude, name, address],
        )?;
        Ok(())
    }

    fn poll(&self, row: &Row<'_>, selectable: i64, options: &[(String, Vec<usize>)]) -> Result<(), SampleError> {
        self.database.execute("INSERT INTO message_poll VALUES (?1, ?2)", params![row.id, selectable])?;
        let mut votes: Vec<(usize, i64)> = Vec::new();
        for (name, voters) in options {
            self.database.execute(
                "INSERT INTO message_poll_option (message_row_id, option_sha256_hash, option_name, vote_total)
                 VALUES (?1, ?2, ?3, ?4)",
                params![row.id, BASE64_STANDARD.encode(Sha256::digest(name)), name, count(voters.len())],
            )?;
            let option = self.database.last_insert_rowid();
            votes.extend(voters.iter().map(|voter| (*voter, option)));
        }
        // One vote of one person can choose several options.
        votes.sort_unstable();
        for (delay, choices) in (1_i64..).zip(votes.chunk_by(|(one, _), (other, _)| one == other)) {
            let Some((voter, _)) = choices.first() else { continue };
            let at_ms = row.message.at_ms + 45_000 * delay;
            let add_on = self.add_on(row, *voter, at_ms, ADD_ON_POLL_VOTE)?;
            self.database
                .execute("INSERT INTO message_add_on_poll_vote VALUES (?1, ?2)", params![add_on, at_ms - 250])?;
            for (_, option) in choices {
                self.database.execute(
                    "INSERT INTO message_add_on_poll_vote_selected_option (message_add_on_row_id, message_poll_option_id)
                     VALUES (?1, ?2)",
                    params![add_on, option],
                )?;
            }
        }
        Ok(())
    }

    fn call(&self, row: &Row<'_>, video: bool, seconds: i64) -> Result<(), SampleError> {
        let (answered, not_answered) = (5, 2);
        self.database.execute(
            "INSERT INTO call_log (jid_row_id, from_me, call_id, transaction_id, timestamp, video_call, duration,
                 call_result, bytes_transferred) VALUES (?1, ?2, ?3, -1, ?4, ?5, ?6, ?7, ?8)",
            params![
                self.chat_jid_row(row.message.chat),
                row.by_owner(),
                key_id("call", row.id),
                row.message.at_ms,
                video,
                seconds,
                if seconds > 0 { answered } else { not_answered },
                seconds * if video { 90_000 } else { 4_000 },
            ],
        )?;
        self.database.execute(
            "INSERT INTO message_call_log VALUES (?1, ?2)",
            params![row.id, self.database.last_insert_rowid()],
        )?;
        Ok(())
    }

    fn deleted(&self, row: &Row<'_>) -> Result<(), SampleError> {
        let revoked = key_id("revoked", row.id);
        self.database.execute("INSERT INTO message_revoked VALUES (?1, ?2, NULL)", params![row.id, revoked])?;
        Ok(())
    }

    fn notice(&self, row: &Row<'_>, action: i64) -> Result<(), SampleError> {
        self.database.execute("INSERT INTO message_system VALUES (?1, ?2)", params![row.id, action])?;
        Ok(())
    }

    /// A group's new subject; the notice keeps the old one.
    fn subject(&self, row: &Row<'_>) -> Result<(), SampleError> {
        self.notice(row, NOTICE_SUBJECT)?;
        self.database.execute(
            "INSERT INTO message_system_value_change SELECT ?1, subject FROM chat WHERE _id = ?2",
            params![row.id, row.chat()],
        )?;
        self.database.execute("UPDATE chat SET subject = ?2 WHERE _id = ?1", params![row.chat(), row.message.text])?;
        Ok(())
    }

    fn added(&self, row: &Row<'_>, people: &[usize]) -> Result<(), SampleError> {
        self.notice(row, NOTICE_ADDED)?;
        self.database.execute("INSERT INTO message_system_group VALUES (?1, 0)", [row.id])?;
        for person in people {
            self.database.execute(
                "INSERT INTO message_system_chat_participant VALUES (?1, ?2)",
                params![row.id, person_jid_row(*person)],
            )?;
            self.participant(row.message.chat, *person, 0)?;
        }
        Ok(())
    }
}
