//! Reads the story that the example tells.
//!
//! `assets/story.txt` is written for people. Lines that begin with `#` are comments. The rest is:
//!
//! ```text
//! @zone +01:00                                         the zone of every time in the file
//! @me     KEY NUMBER | name                            the owner of the telephone
//! @person KEY NUMBER | in the address book | push name | company
//! @group  KEY DATE TIME FOUNDER | subject | members
//! @chat   KEY                                          what follows is said in this chat: a group, or with a person
//! @day    DATE
//! HH:MM who [what …] #label >label: text               `#` names a message, `>` replies to a named one
//!   more text                                          a further line of the text
//!   + who emoji                                        a reaction
//!   * option = voters                                  an option of a poll
//! ```
//!
//! In brackets stands what a message is, if it is more than text: see [`Kind`] and [`Flags`].

use std::collections::HashMap;

use jiff::civil::{Date, Time};
use jiff::tz::Offset;

/// What happens in the example, in order of time.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) people: Vec<Person>,
    pub(super) chats: Vec<Chat>,
    pub(super) messages: Vec<Message>,
    pub(super) zone: Offset,
}

/// Somebody's place in [`Story::people`]. The owner is [`OWNER`].
pub(super) type PersonIndex = usize;

/// The owner of the telephone is the first person.
pub(super) const OWNER: PersonIndex = 0;

/// Somebody with a telephone number.
#[derive(Debug)]
pub(super) struct Person {
    key: String,
    pub(super) number: String,
    /// The name in the owner's address book; empty when there is none.
    pub(super) name: String,
    pub(super) push_name: String,
    pub(super) company: String,
}

impl Person {
    pub(super) fn jid(&self) -> String {
        format!("{}@s.whatsapp.net", self.number)
    }

    /// How the story mentions this person in a text.
    pub(super) fn mention(&self) -> String {
        format!("@{}", self.key)
    }
}

/// A conversation.
#[derive(Debug)]
pub(super) enum Chat {
    Person(PersonIndex),
    Group { key: String, subject: String, created_ms: i64, founder: PersonIndex, members: Vec<PersonIndex> },
}

/// One line that somebody wrote, or one event.
#[derive(Debug)]
pub(super) struct Message {
    /// The place of its chat in [`Story::chats`].
    pub(super) chat: usize,
    /// Milliseconds since 1970.
    pub(super) at_ms: i64,
    pub(super) sender: PersonIndex,
    pub(super) text: String,
    pub(super) kind: Kind,
    pub(super) flags: Flags,
    pub(super) label: Option<String>,
    pub(super) reply_to: Option<String>,
    pub(super) reactions: Vec<(PersonIndex, String)>,
}

impl Message {
    /// The first link of its text.
    pub(super) fn link(&self) -> Option<&str> {
        self.text.split_whitespace().find(|word| word.starts_with("https://"))
    }
}

/// What a message is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text,
    /// `photo=NAME`: a picture of `assets/pictures`; the text is its caption.
    Photo(String),
    /// `voice=NAME`: a recording of `assets`.
    Voice(String),
    /// `card=KEY`: a person's contact card.
    Card(PersonIndex),
    /// `place=LATITUDE,LONGITUDE`: the text is `name | address`.
    Place(f64, f64),
    /// `poll=N`: at most `N` options can be chosen, 0 for any number; the text is the question.
    Poll {
        selectable: i64,
        options: Vec<(String, Vec<PersonIndex>)>,
    },
    /// `call=SECONDS`, `video-call=SECONDS`, `missed-call`.
    Call {
        video: bool,
        seconds: i64,
    },
    /// `notice=created`: the text is the subject.
    Created,
    /// `notice=subject`: the text is the new subject.
    Subject,
    /// `notice=added`: the text names the people.
    Added(Vec<PersonIndex>),
    /// `notice=encrypted`.
    Encrypted,
    /// `deleted`: for everyone, by its sender.
    Deleted,
}

/// What else can be said of a message.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Flags {
    pub(super) edited: bool,
    pub(super) forwarded: bool,
    pub(super) starred: bool,
}

/// A line of the story that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the story: {reason}")]
pub struct StoryError {
    line: usize,
    reason: String,
}

impl Story {
    pub(super) fn parse(text: &str) -> Result<Self, StoryError> {
        let mut parser = Parser::default();
        for (line, content) in text.lines().enumerate() {
            let content = content.trim_end();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            parser.line(content).map_err(|reason| StoryError { line: line + 1, reason })?;
        }
        parser.finish()
    }
}

#[derive(Default)]
struct Parser {
    people: Vec<Person>,
    chats: Vec<Chat>,
    messages: Vec<Message>,
    zone: Option<Offset>,
    chat: Option<usize>,
    day: Option<Date>,
    /// When the last message of each chat was sent: the next comes later.
    last_ms: HashMap<usize, i64>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("  ") {
            return self.addition(rest);
        }
        let Some(directive) = line.strip_prefix('@') else { return self.message(line) };
        let (word, rest) = directive.split_once(' ').ok_or("a directive needs a value")?;
        let rest = rest.trim();
        match word {
            "zone" => self.zone = Some(parse_zone(rest)?),
            "me" | "person" => self.person(rest)?,
            "group" => self.group(rest)?,
            "chat" => self.chat = Some(self.find_or_open_chat(rest)?),
            "day" => self.day = Some(rest.parse().map_err(|error| format!("{error}"))?),
            _ => return Err(format!("unknown directive @{word}")),
        }
        Ok(())
    }

    fn person(&mut self, rest: &str) -> Result<(), String> {
        let mut fields = rest.split('|').map(str::trim);
        let (key, number) =
            fields.next().and_then(|head| head.split_once(' ')).ok_or("a person needs key and number")?;
        let mut field = || fields.next().unwrap_or_default().to_owned();
        let (name, push_name, company) = (field(), field(), field());
        self.people.push(Person { key: key.to_owned(), number: number.trim().to_owned(), name, push_name, company });
        Ok(())
    }

    fn group(&mut self, rest: &str) -> Result<(), String> {
        let [head, subject, members] = exactly(rest.split('|').map(str::trim))?;
        let [key, date, time, founder] = exactly(head.split_whitespace())?;
        let date = date.parse().map_err(|error| format!("{error}"))?;
        self.chats.push(Chat::Group {
            key: key.to_owned(),
            subject: subject.to_owned(),
            created_ms: self.milliseconds(date, time)?,
            founder: self.find_person(founder)?,
            members: self.find_people(members)?,
        });
        Ok(())
    }

    fn find_or_open_chat(&mut self, name: &str) -> Result<usize, String> {
        let group = self.chats.iter().position(|chat| matches!(chat, Chat::Group { key, .. } if key == name));
        if let Some(index) = group {
            return Ok(index);
        }
        self.chats.push(Chat::Person(self.find_person(name)?));
        Ok(self.chats.len() - 1)
    }

    fn message(&mut self, line: &str) -> Result<(), String> {
        let (time, rest) = line.split_once(' ').ok_or("a message begins with a time")?;
        let (head, text) = rest
            .split_once(": ")
            .or_else(|| rest.strip_suffix(':').map(|head| (head, "")))
            .ok_or("a colon stands before a message's text")?;
        let (head, what) = match head.split_once('[') {
            Some((before, rest)) => {
                let (what, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
                (format!("{before} {after}"), what)
            }
            None => (head.to_owned(), ""),
        };
        let mut words = head.split_whitespace();
        let sender = self.find_person(words.next().ok_or("a message needs a sender")?)?;
        let (mut label, mut reply_to) = (None, None);
        for word in words {
            match (word.strip_prefix('#'), word.strip_prefix('>')) {
                (Some(name), _) => label = Some(name.to_owned()),
                (_, Some(name)) => reply_to = Some(name.to_owned()),
                _ => return Err(format!("what is {word}?")),
            }
        }
        let (kind, flags) = self.what(what, text)?;
        let chat = self.chat.ok_or("a message needs a chat")?;
        let at_ms = self.next_moment(chat, time)?;
        let text = text.to_owned();
        self.messages.push(Message { chat, at_ms, sender, text, kind, flags, label, reply_to, reactions: Vec::new() });
        Ok(())
    }

    /// Reads what stands in brackets.
    fn what(&self, what: &str, text: &str) -> Result<(Kind, Flags), String> {
        let (mut kind, mut flags) = (Kind::Text, Flags::default());
        for word in what.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match (name, value) {
                ("edited", _) => flags.edited = true,
                ("forwarded", _) => flags.forwarded = true,
                ("starred", _) => flags.starred = true,
                ("photo", name) => kind = Kind::Photo(name.to_owned()),
                ("voice", name) => kind = Kind::Voice(name.to_owned()),
                ("card", who) => kind = Kind::Card(self.find_person(who)?),
                ("place", place) => {
                    let [latitude, longitude] = exactly(place.split(','))?;
                    kind = Kind::Place(number(latitude)?, number(longitude)?);
                }
                ("poll", count) => kind = Kind::Poll { selectable: number(count)?, options: Vec::new() },
                ("call", seconds) => kind = Kind::Call { video: false, seconds: number(seconds)? },
                ("video-call", seconds) => kind = Kind::Call { video: true, seconds: number(seconds)? },
                ("missed-call", _) => kind = Kind::Call { video: false, seconds: 0 },
                ("notice", "created") => kind = Kind::Created,
                ("notice", "subject") => kind = Kind::Subject,
                ("notice", "added") => kind = Kind::Added(self.find_people(text)?),
                ("notice", "encrypted") => kind = Kind::Encrypted,
                ("deleted", _) => kind = Kind::Deleted,
                _ => return Err(format!("what is [{word}]?")),
            }
        }
        Ok((kind, flags))
    }

    /// A further line of the last message: more text, a reaction, or an option of its poll.
    fn addition(&mut self, line: &str) -> Result<(), String> {
        if let Some(reaction) = line.strip_prefix("+ ") {
            let [who, emoji] = exactly(reaction.split_whitespace())?;
            let who = self.find_person(who)?;
            let reactions = &mut self.last_message()?.reactions;
            if reactions.iter().any(|(somebody, _)| *somebody == who) {
                return Err("nobody reacts twice to one message".to_owned());
            }
            reactions.push((who, emoji.to_owned()));
        } else if let Some(option) = line.strip_prefix("* ") {
            let (option, voters) = option.split_once('=').ok_or("an option needs voters")?;
            let voters = self.find_people(voters)?;
            match &mut self.last_message()?.kind {
                Kind::Poll { options, .. } => options.push((option.trim().to_owned(), voters)),
                _ => return Err("only a poll has options".to_owned()),
            }
        } else {
            let text = &mut self.last_message()?.text;
            text.push('\n');
            text.push_str(line);
        }
        Ok(())
    }

    fn last_message(&mut self) -> Result<&mut Message, String> {
        self.messages.last_mut().ok_or_else(|| "there is no message yet".to_owned())
    }

    /// The moment of a message: in the minute that is written, some seconds after the message before it.
    fn next_moment(&mut self, chat: usize, time: &str) -> Result<i64, String> {
        let minute = self.milliseconds(self.day.ok_or("a message needs a day")?, time)?;
        let spread = 1_000 + (self.messages.len() as i64 * 7_919) % 23_000;
        let last = self.last_ms.get(&chat).copied().unwrap_or_default();
        if last >= minute + 60_000 {
            return Err("the message before it is later".to_owned());
        }
        let moment = (minute + spread).max(last + 4_000 + spread / 5);
        self.last_ms.insert(chat, moment);
        Ok(moment)
    }

    fn milliseconds(&self, date: Date, time: &str) -> Result<i64, String> {
        let time: Time = time.parse().map_err(|error| format!("{error}"))?;
        let zone = self.zone.ok_or("the zone must come first")?;
        let moment = zone.to_timestamp(date.to_datetime(time)).map_err(|error| error.to_string())?;
        Ok(moment.as_millisecond())
    }

    fn find_person(&self, key: &str) -> Result<PersonIndex, String> {
        self.people.iter().position(|person| person.key == key).ok_or_else(|| format!("who is {key}?"))
    }

    fn find_people(&self, keys: &str) -> Result<Vec<PersonIndex>, String> {
        keys.split_whitespace().map(|key| self.find_person(key)).collect()
    }

    fn finish(mut self) -> Result<Story, StoryError> {
        self.messages.sort_by_key(|message| message.at_ms);
        let zone = self.zone.ok_or_else(|| StoryError { line: 0, reason: "there is no zone".to_owned() })?;
        Ok(Story { people: self.people, chats: self.chats, messages: self.messages, zone })
    }
}

fn parse_zone(text: &str) -> Result<Offset, String> {
    let hours = text.strip_suffix(":00").ok_or("a zone is whole hours from UTC, such as +01:00")?;
    Offset::from_hours(number(hours)?).map_err(|error| error.to_string())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number here"))
}

/// Takes exactly `N` items.
fn exactly<'a, const N: usize>(items: impl Iterator<Item = &'a str>) -> Result<[&'a str; N], String> {
    let items: Vec<&str> = items.collect();
    items.try_into().map_err(|items: Vec<&str>| format!("{N} values are needed here, not {}", items.len()))
}
