//! The recovery key: `K` written for people (spec §4).
//!
//! 64 hex digits of the key and 8 of checks, in 18 groups of four. The checks name and repair one wrong
//! group. Two wrong groups are never taken for a whole key, but 16 times in 65,535 they look like one wrong
//! group somewhere else. A repaired key is therefore a proposal, which only the repository can confirm.

mod code;
mod qr;

use zeroize::Zeroizing;

use crate::Secret;
use crate::keys::BackupKey;
use code::{GROUPS, Verdict};

/// Digits of one group.
const GROUP_DIGITS: usize = 4;

/// Digits of a whole recovery key, the checks included.
const DIGITS: usize = GROUPS * GROUP_DIGITS;

/// Digits of the key alone.
const KEY_DIGITS: usize = code::KEY_GROUPS * GROUP_DIGITS;

/// A backup key with its two check groups.
#[derive(Debug)]
pub struct RecoveryKey(Secret<{ 2 * GROUPS }>);

impl RecoveryKey {
    /// Adds the check groups to a backup key (spec §4.2).
    pub fn from_backup_key(key: &BackupKey) -> Self {
        Self(Secret::build(|bytes| {
            let checks = Zeroizing::new(code::checks(key.expose()));
            let parts = key.expose().iter().chain(checks.as_flattened());
            bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = *part);
        }))
    }

    /// The canonical text: 18 groups in lower case, with single spaces between them (spec §4.1).
    pub fn to_text(&self) -> Zeroizing<String> {
        self.write(GROUPS)
    }

    /// The same in three lines of six groups, for a screen or for paper.
    pub fn to_lines(&self) -> Zeroizing<String> {
        self.write(6)
    }

    /// A QR code of the 72 digits, in half-block characters, 41 columns by 21 lines.
    ///
    /// Light modules are drawn and dark ones left blank, which is right for bright text on a dark terminal;
    /// elsewhere most scanners read the inverted code as well. What the encoder allocates in between is
    /// not erased.
    pub fn to_qr(&self) -> Zeroizing<String> {
        let mut digits = self.write(GROUPS);
        digits.retain(|character| character != ' ');
        digits.make_ascii_uppercase();
        qr::render(&digits)
    }

    /// Reads what a person typed, pasted or scanned (spec §4.3).
    ///
    /// Takes upper and lower case, any spaces, line breaks, dashes and commas, `O` for `0`, and `I` or `L`
    /// for `1`. No error tells a digit of the key.
    pub fn parse(text: &str) -> Result<Parsed, RecoveryKeyError> {
        let typed = Self(read_digits(text)?);
        match code::judge(typed.0.expose()) {
            Verdict::Whole => Ok(Parsed::Exact(typed.backup_key())),
            Verdict::OneWrong { index, error } => {
                Ok(Parsed::Repaired(Repair { index, recovery_key: typed.corrected(index, error) }))
            }
            Verdict::ManyWrong => Err(RecoveryKeyError::ManyWrongGroups),
        }
    }

    fn write(&self, groups_in_line: usize) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(DIGITS + GROUPS));
        for (index, group) in self.groups().enumerate() {
            if index > 0 {
                text.push(if index % groups_in_line == 0 { '\n' } else { ' ' });
            }
            push_group(&mut text, group);
        }
        text
    }

    fn groups(&self) -> impl Iterator<Item = &[u8; 2]> {
        self.0.expose().as_chunks::<2>().0.iter()
    }

    fn corrected(&self, index: usize, error: [u8; 2]) -> Self {
        Self(Secret::build(|bytes| {
            bytes.copy_from_slice(self.0.expose());
            let wrong = bytes.iter_mut().skip(2 * index);
            wrong.zip(error).for_each(|(byte, error)| *byte ^= error);
        }))
    }

    fn backup_key(&self) -> BackupKey {
        let key = self.0.expose().iter();
        BackupKey::from_secret(Secret::build(|own| own.iter_mut().zip(key).for_each(|(own, byte)| *own = *byte)))
    }
}

/// What a recovery key says that was read.
#[derive(Debug)]
pub enum Parsed {
    /// All groups fit: this is the key. (72 random digits pass once in 2³².)
    Exact(BackupKey),
    /// One group did not fit. The repaired key is a proposal until the repository's key check confirms it.
    Repaired(Repair),
}

/// A proposal: the recovery key that differs from what was read in one group.
#[derive(Debug)]
pub struct Repair {
    index: usize,
    recovery_key: RecoveryKey,
}

impl Repair {
    /// Which group was wrong, counted from 1.
    pub fn group(&self) -> usize {
        self.index + 1
    }

    /// The four digits that belong there: a part of the key, to be shown to its owner only.
    pub fn correct_group(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(GROUP_DIGITS));
        self.recovery_key.groups().skip(self.index).take(1).for_each(|group| push_group(&mut text, group));
        text
    }

    /// The repaired key. If it does not match the repository's key check, more than one group was wrong.
    pub fn into_unproven_key(self) -> BackupKey {
        self.recovery_key.backup_key()
    }
}

/// A text that is no recovery key. Groups are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryKeyError {
    /// Something else stands where a digit should be.
    #[error("digit {digit} of group {group} is not one of 0-9 and a-f")]
    NotADigit {
        /// The group, counting every four digits.
        group: usize,
        /// The place within the group, from 1.
        digit: usize,
    },
    /// The text has 18 groups, but one is shorter or longer than four digits.
    #[error("group {group} has {found} digits instead of 4")]
    UnevenGroup {
        /// The first such group.
        group: usize,
        /// How many digits it has.
        found: usize,
    },
    /// The key's 64 digits without the checks: it cannot be told whether they are right.
    #[error("the two check groups at the end are missing")]
    ChecksMissing,
    /// Too few or too many digits.
    #[error("a recovery key has 72 digits, here are {found}")]
    WrongLength {
        /// How many digits there are.
        found: usize,
    },
    /// More is wrong than can be repaired.
    #[error("more than one group is wrong")]
    ManyWrongGroups,
}

fn read_digits(text: &str) -> Result<Secret<{ 2 * GROUPS }>, RecoveryKeyError> {
    let mut digits = Zeroizing::new(Vec::with_capacity(DIGITS));
    let mut found = 0;
    for character in text.chars().filter(|character| !is_separator(*character)) {
        let (group, digit) = (found / GROUP_DIGITS + 1, found % GROUP_DIGITS + 1);
        let value = digit_value(character).ok_or(RecoveryKeyError::NotADigit { group, digit })?;
        if found < DIGITS {
            digits.push(value);
        }
        found += 1;
    }
    if found != DIGITS {
        return Err(wrong_length(text, found));
    }
    let bytes = digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low);
    Ok(Secret::build(|own| own.iter_mut().zip(bytes).for_each(|(own, byte)| *own = byte)))
}

/// Says as exactly as possible where digits are missing or too many.
fn wrong_length(text: &str, found: usize) -> RecoveryKeyError {
    if found == KEY_DIGITS {
        return RecoveryKeyError::ChecksMissing;
    }
    let mut lengths = text.split(is_separator).map(|group| group.chars().count()).filter(|len| *len > 0);
    let uneven = lengths.clone().zip(1..).find(|(len, _)| *len != GROUP_DIGITS);
    match uneven {
        Some((found, group)) if lengths.by_ref().count() == GROUPS => RecoveryKeyError::UnevenGroup { group, found },
        _ => RecoveryKeyError::WrongLength { found },
    }
}

/// What may stand between digits: white space, dashes (also those a word processor makes of a hyphen),
/// commas, and the byte order mark at the beginning of a text file.
fn is_separator(character: char) -> bool {
    character.is_whitespace() || matches!(character, '-' | ',' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{feff}')
}

/// A hex digit's value. `O`, `I` and `L` are no hex digits and look like exactly one; what looks like several
/// (`S`: 5 or 8, `Z`: 2 or 7, `G`: 6 or 9) is refused rather than guessed.
fn digit_value(character: char) -> Option<u8> {
    match character {
        'O' | 'o' => Some(0),
        'I' | 'i' | 'L' | 'l' => Some(1),
        _ => character.to_digit(16).and_then(|value| u8::try_from(value).ok()),
    }
}

fn push_group(text: &mut String, group: &[u8; 2]) {
    for nibble in group.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
        text.push(char::from(if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }));
    }
}

#[cfg(test)]
mod tests;
