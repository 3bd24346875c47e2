//! Asking the owner: for what opens the repository, and whether to do what cannot be undone.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use hushkeep::{Ask, Secret, SecretError};
use zeroize::Zeroizing;

use crate::args::KeyArgs;
use crate::output::note;

/// How often something can be typed before the command ends.
const ATTEMPTS: usize = 3;

/// A file with a secret is never longer than this many bytes.
const MAX_SECRET_FILE_LEN: usize = 64 << 10;

/// Digits of a recovery key.
const RECOVERY_KEY_DIGITS: usize = 72;

/// Gives what is in the files that were named; else, at a terminal, what is typed.
pub(crate) struct Owner {
    files: VecDeque<SecretFile>,
    /// How many prompts are left.
    prompts: usize,
}

/// A file that the owner named.
enum SecretFile {
    RecoveryKey(PathBuf),
    Passphrase(PathBuf),
}

impl Owner {
    /// The owner with the files that were named. Who named a file is not asked.
    pub(crate) fn new(recovery_key: Option<&Path>, passphrase: Option<&Path>) -> Self {
        let recovery_key = recovery_key.map(|path| SecretFile::RecoveryKey(path.to_owned()));
        let passphrase = passphrase.map(|path| SecretFile::Passphrase(path.to_owned()));
        let files: VecDeque<_> = recovery_key.into_iter().chain(passphrase).collect();
        let prompts = if files.is_empty() && is_at_terminal() { ATTEMPTS } else { 0 };
        Self { files, prompts }
    }

    pub(crate) fn with(key: &KeyArgs) -> Self {
        Self::new(key.recovery_key.recovery_key_file.as_deref(), key.passphrase.passphrase_file.as_deref())
    }
}

impl Ask for Owner {
    fn secret(&mut self, has_passphrase: bool, refused: Option<&SecretError>) -> io::Result<Option<Secret>> {
        match self.files.pop_front() {
            Some(SecretFile::RecoveryKey(path)) => return Ok(Some(Secret::RecoveryKey(read_secret(&path)?))),
            Some(SecretFile::Passphrase(path)) => return Ok(Some(Secret::Passphrase(read_line(&path)?))),
            None if self.prompts == 0 => return Ok(None),
            None => self.prompts -= 1,
        }
        match refused {
            None => {}
            Some(error @ SecretError::OutdatedDeviceKey) => {
                note(format_args!("{error}: most likely it was replaced on another device"));
            }
            Some(error) => note(format_args!("{error}; try again")),
        }
        prompt_secret(has_passphrase).map(Some)
    }

    /// Who named a file wants it to be the one that opens the repository.
    fn has_named(&self) -> bool {
        !self.files.is_empty()
    }
}

/// Whether somebody is there to answer.
pub(crate) fn is_at_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question that is answered by yes or no; no is the default.
pub(crate) fn confirm(question: &str) -> io::Result<bool> {
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a new passphrase, twice.
pub(crate) fn prompt_new_passphrase() -> io::Result<Zeroizing<String>> {
    loop {
        let first = prompt("new passphrase: ")?;
        if *prompt("the same again: ")? == *first {
            return Ok(first);
        }
        note("the two are different; try again");
    }
}

/// Reads the first line of a file with a secret; `-` is standard input.
pub(crate) fn read_line(path: &Path) -> io::Result<Zeroizing<String>> {
    let text = read_secret(path)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Reads a file with a secret; `-` is standard input.
fn read_secret(path: &Path) -> io::Result<Zeroizing<String>> {
    let reader: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(path)?) };
    // Reserved at once: a buffer that grows leaves copies of the secret behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_SECRET_FILE_LEN + 1));
    let len = reader.take(MAX_SECRET_FILE_LEN as u64 + 1).read_to_string(&mut text)?;
    if len > MAX_SECRET_FILE_LEN {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too long for a secret"));
    }
    Ok(text)
}

fn prompt_secret(has_passphrase: bool) -> io::Result<Secret> {
    let question = if has_passphrase { "recovery key or passphrase: " } else { "recovery key: " };
    let mut typed = prompt(question)?;
    // A recovery key that is pasted in several lines.
    while looks_like_recovery_key(&typed) && digits(&typed) < RECOVERY_KEY_DIGITS {
        let more = prompt("the rest (or just enter): ")?;
        if more.is_empty() {
            break;
        }
        typed = Zeroizing::new([typed.as_str(), more.as_str()].join(" "));
    }
    if has_passphrase && !(looks_like_recovery_key(&typed) && digits(&typed) > RECOVERY_KEY_DIGITS / 2) {
        return Ok(Secret::Passphrase(typed));
    }
    Ok(Secret::RecoveryKey(typed))
}

/// Asks for a secret, without showing what is typed.
pub(crate) fn prompt(question: &str) -> io::Result<Zeroizing<String>> {
    rpassword::prompt_password(question).map(Zeroizing::new)
}

/// Whether a text is groups of hex digits: what a person writes who copies a recovery key.
fn looks_like_recovery_key(text: &str) -> bool {
    let mut groups = text.split([' ', '-', '\t']).filter(|group| !group.is_empty()).peekable();
    groups.peek().is_some() && groups.all(|group| group.len() % 4 == 0 && group.chars().all(|c| c.is_ascii_hexdigit()))
}

fn digits(text: &str) -> usize {
    text.chars().filter(char::is_ascii_hexdigit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_keys_are_told_from_passphrases() {
        for text in ["0123 4567", "0123-4567", "01234567 89ab"] {
            assert!(looks_like_recovery_key(text), "{text}");
        }
        for text in ["", "correct horse battery", "0123 456", "beef stew"] {
            assert!(!looks_like_recovery_key(text), "{text}");
        }
    }

    #[test]
    fn the_files_that_were_named_are_given_in_turn_and_nothing_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (key, phrase) = (folder.path().join("key"), folder.path().join("phrase"));
        std::fs::write(&key, "0123 4567\n89ab\n").unwrap();
        std::fs::write(&phrase, "correct horse\r\nanother line").unwrap();
        let mut owner = Owner::new(Some(&key), Some(&phrase));
        let given = owner.secret(true, None).unwrap();
        assert!(matches!(given, Some(Secret::RecoveryKey(text)) if *text == "0123 4567\n89ab\n"));
        assert_eq!(*read_line(&phrase).unwrap(), "correct horse");
        assert!(matches!(owner.secret(true, None).unwrap(), Some(Secret::Passphrase(_))));
        assert!(owner.secret(true, None).unwrap().is_none());
    }

    #[test]
    fn a_secret_is_not_read_out_of_a_large_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("video");
        std::fs::write(&path, vec![b'a'; 70_000]).unwrap();
        assert_eq!(read_line(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
