//! What happened to a record, and whether the vault still tells the same (spec/vault.md §8).

use hushkeep_core::wire::{Reader, WireError};

use crate::message::{ChangeReply, Event, Head, HistoryReply, ProofReply};
use crate::name::Version;

/// Where a client last saw a record: what a vault tells later must lead on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    seq: u64,
    chain: [u8; 32],
}

/// What happened to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The newest events, the oldest first.
    pub events: Vec<PastEvent>,
    /// How many guesses are left.
    pub left: u8,
    /// The password that holds, if one was ever committed.
    pub active: Option<Version>,
    /// The one beside it.
    pub pending: Option<Version>,
    /// To be remembered.
    pub seen: Seen,
    /// Events of which nothing is told, between what was seen and the first that is told: they were too many.
    pub untold: u64,
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastEvent {
    /// Its number. The first one is number 1.
    pub number: u64,
    /// By the vault's clock, in seconds since 1970-01-01 00:00:00 UTC.
    pub time: i64,
    /// What it was.
    pub kind: EventKind,
}

/// What happened (spec/vault.md §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A password was put beside the one that holds.
    Staged,
    /// The password beside it became the one that holds.
    Committed,
    /// Somebody guessed, and was answered.
    Guessed,
    /// The guess before was right, and all are there again.
    Right,
    /// All guesses were spent.
    Destroyed,
    /// What a later vault knows.
    Unknown(u8),
}

/// A vault that tells another history than it did before: an old state of it was restored, or it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the vault tells another history of the record than it did before")]
pub struct HistoryError;

impl Seen {
    /// Its length as it is kept, in bytes.
    pub const LEN: usize = 40;

    /// Where a reply leaves a record.
    pub(crate) fn at(head: &Head) -> Self {
        Self { seq: head.seq, chain: head.chain }
    }

    /// The number of the last event.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// As it is kept.
    pub fn encode(&self) -> Vec<u8> {
        [self.seq.to_le_bytes().as_slice(), &self.chain].concat()
    }

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let seen = Self { seq: u64::from_le_bytes(reader.array()?), chain: reader.array()? };
        reader.finish()?;
        Ok(seen)
    }
}

impl ChangeReply {
    /// Where the change leaves the record.
    pub fn seen(&self) -> Seen {
        Seen::at(&self.head)
    }
}

impl ProofReply {
    /// Where the guess leaves the record.
    pub fn seen(&self) -> Seen {
        Seen::at(&self.head)
    }
}

impl HistoryReply {
    /// What happened, if that leads on from what was seen.
    pub fn since(&self, seen: Option<&Seen>) -> Result<History, HistoryError> {
        let told = self.events.iter().take_while(|event| event.kind != 0);
        let told: Vec<&Event> = told.skip_while(|event| seen.is_some_and(|seen| event.seq <= seen.seq)).collect();
        let before = seen.copied().unwrap_or(Seen { seq: 0, chain: [0; 32] });
        let untold = match told.first() {
            Some(first) => first.seq.checked_sub(before.seq).and_then(|ahead| ahead.checked_sub(1)),
            None => self.head.seq.checked_sub(before.seq),
        };
        let untold = untold.ok_or(HistoryError)?;
        let is_in_order =
            told.windows(2).all(|pair| matches!(pair, [one, next] if one.seq.checked_add(1) == Some(next.seq)));
        let last = told.last().map_or(before.seq + untold, |last| last.seq);
        let end = told.iter().fold(before.chain, |chain, event| event.chained(&chain));
        // Only the newest are told if they are too many, and then as many as there is room for.
        let is_cut = self.events.iter().all(|event| event.kind != 0);
        if !is_in_order
            || (untold > 0 && seen.is_some() && !is_cut)
            || last != self.head.seq
            || (untold == 0 && end != self.head.chain)
        {
            return Err(HistoryError);
        }
        let version = |version: Version| (*version.as_bytes() != [0; 16]).then_some(version);
        Ok(History {
            events: self.events.iter().take_while(|event| event.kind != 0).map(PastEvent::from).collect(),
            left: self.head.left,
            active: version(self.head.active),
            pending: version(self.head.pending),
            seen: Seen::at(&self.head),
            untold,
        })
    }
}

impl From<&Event> for PastEvent {
    fn from(event: &Event) -> Self {
        let kind = match event.kind {
            1 => EventKind::Staged,
            2 => EventKind::Committed,
            3 => EventKind::Guessed,
            4 => EventKind::Right,
            5 => EventKind::Destroyed,
            kind => EventKind::Unknown(kind),
        };
        Self { number: event.seq, time: event.time, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::EVENTS_TOLD;

    /// The history of so many guesses, of which the newest are told.
    fn reply(count: u64) -> HistoryReply {
        let (mut chain, mut all) = ([0; 32], Vec::new());
        for seq in 1..=count {
            let event = Event { seq, time: 1000 + seq as i64, kind: 3 };
            chain = event.chained(&chain);
            all.push(event);
        }
        let mut events = [const { Event { seq: 0, time: 0, kind: 0 } }; EVENTS_TOLD];
        let newest = all.len().saturating_sub(EVENTS_TOLD);
        events.iter_mut().zip(all.drain(newest..)).for_each(|(place, event)| *place = event);
        HistoryReply { head: Head { seq: count, left: 3, chain, ..Head::unknown() }, events }
    }

    #[test]
    fn a_history_leads_on_from_what_was_seen() {
        let first = reply(3).since(None).unwrap();
        assert_eq!((first.events.len(), first.untold, first.left), (3, 0, 3));
        assert_eq!(first.events[2], PastEvent { number: 3, time: 1003, kind: EventKind::Guessed });
        let seen = Seen::decode(&first.seen.encode()).unwrap();
        assert_eq!((seen.seq(), reply(3).since(Some(&seen))), (3, Ok(first)));
        assert_eq!(reply(5).since(Some(&seen)).unwrap().events.len(), 5);
        assert_eq!(reply(0).since(None).unwrap().events, []);
        let mut with_password = reply(3);
        with_password.head.active = Version::from_bytes([5; 16]);
        let told = with_password.since(None).unwrap();
        assert_eq!((told.active, told.pending), (Some(Version::from_bytes([5; 16])), None));
        let mut last = reply(0);
        last.head.seq = u64::MAX;
        assert_eq!(last.since(None).unwrap().untold, u64::MAX);
        assert_eq!(reply(3).since(Some(&Seen::at(&last.head))), Err(HistoryError));
    }

    #[test]
    fn more_events_than_are_told_are_counted() {
        let seen = reply(3).since(None).unwrap().seen;
        assert_eq!(reply(67).since(Some(&seen)).unwrap().untold, 0);
        assert_eq!(reply(80).since(Some(&seen)).unwrap().untold, 13);
    }

    #[test]
    fn another_history_is_found_out() {
        let seen = reply(5).since(None).unwrap().seen;
        assert_eq!(reply(4).since(Some(&seen)), Err(HistoryError), "an old state was restored");
        let mut other = reply(5);
        other.head.chain[0] ^= 1;
        assert_eq!(other.since(Some(&seen)), Err(HistoryError));
        for (place, change) in [(0, 1), (4, 1), (6, 1)] {
            let mut other = reply(7);
            other.events[place].time += change;
            // What was seen before is not compared anew.
            assert_eq!(other.since(Some(&seen)).is_err(), place >= 5, "{place}");
            assert!(other.since(None).is_err());
        }
        let mut other = reply(7);
        other.events[6].kind = 0;
        assert_eq!(other.since(Some(&seen)), Err(HistoryError), "the last is left out");
        let mut other = reply(7);
        other.events.swap(5, 6);
        other.events[6].kind = 0;
        assert_eq!(other.since(Some(&seen)), Err(HistoryError), "one is left out");
        // Where some are not told, the chain says nothing.
        let mut other = reply(80);
        other.head.seq = 81;
        assert!(other.since(Some(&seen)).is_err() && other.since(None).is_err(), "it ends before its end");
        let mut other = reply(80);
        other.events.swap(10, 11);
        assert!(other.since(Some(&seen)).is_err() && other.since(None).is_err(), "two are exchanged");
    }
}
