//! Asking the owner: for what opens the repository, and whether to do what cannot be undone.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hushkeep::vault::{GuessAhead, Https, Transport, VaultAddress};
use hushkeep::{Ask, Secret, SecretError, Ways};
use zeroize::Zeroizing;

use crate::args::KeyArgs;
use crate::failure::what_is_left;
use crate::format;
use crate::output::note;
use crate::terminal::Hidden;

/// How often something can be typed before the command ends.
const ATTEMPTS: usize = 3;

/// So many guesses are left after three wrong ones: then the recovery key is offered.
pub(crate) const FEW_GUESSES: u8 = 7;

/// A file with a secret is never longer than this many bytes.
const MAX_SECRET_FILE_LEN: usize = 64 << 10;

/// Digits of a recovery key.
const RECOVERY_KEY_DIGITS: usize = 72;

/// Gives what is in the files that were named; else, at a terminal, what is typed.
pub(crate) struct Owner {
    files: VecDeque<SecretFile>,
    /// How many prompts are left.
    prompts: usize,
    /// Where a vault is now that was moved.
    moved_vault: Option<VaultAddress>,
    /// What was typed last, if it may be a passphrase or a password.
    typed: Option<Zeroizing<String>>,
}

/// A file that the owner named.
enum SecretFile {
    RecoveryKey(PathBuf),
    Passphrase(PathBuf),
    Password(PathBuf),
}

impl Owner {
    /// The owner with the files that were named. Who named a file is not asked.
    pub(crate) fn new(recovery_key: Option<&Path>, passphrase: Option<&Path>, password: Option<&Path>) -> Self {
        let recovery_key = recovery_key.map(|path| SecretFile::RecoveryKey(path.to_owned()));
        let passphrase = passphrase.map(|path| SecretFile::Passphrase(path.to_owned()));
        let password = password.map(|path| SecretFile::Password(path.to_owned()));
        let files: VecDeque<_> = recovery_key.into_iter().chain(passphrase).chain(password).collect();
        let prompts = if files.is_empty() && is_at_terminal() { ATTEMPTS } else { 0 };
        Self { files, prompts, moved_vault: None, typed: None }
    }

    pub(crate) fn with(key: &KeyArgs) -> Self {
        Self::new(
            key.recovery_key.recovery_key_file.as_deref(),
            key.passphrase.passphrase_file.as_deref(),
            key.password.password_file.as_deref(),
        )
    }

    /// The same, who says where a vault is now.
    pub(crate) fn with_moved_vault(self, moved_vault: Option<VaultAddress>) -> Self {
        Self { moved_vault, ..self }
    }
}

impl Ask for Owner {
    fn secret(&mut self, ways: Ways, refused: Option<&SecretError>) -> io::Result<Option<Secret>> {
        match self.files.pop_front() {
            Some(SecretFile::RecoveryKey(path)) => return Ok(Some(Secret::RecoveryKey(read_secret(&path)?))),
            Some(SecretFile::Passphrase(path)) => return Ok(Some(Secret::Passphrase(read_line(&path)?))),
            Some(SecretFile::Password(path)) => return Ok(Some(Secret::Password(read_line(&path)?))),
            // It is no passphrase that can be tried: those come first, for they cost no guess.
            None if refused.is_some_and(is_no_passphrase) && !ways.vaults.is_empty() && self.typed.is_some() => {
                let typed = self.typed.take();
                if confirm("it is no passphrase of this repository. is it the password, to be tried at its vault?")? {
                    return Ok(typed.map(Secret::Password));
                }
                return self.secret(ways, None);
            }
            None if self.prompts == 0 => return Ok(None),
            None => self.prompts -= 1,
        }
        match refused {
            None => {}
            Some(error @ SecretError::OutdatedDeviceKey) => {
                note(format_args!("{error}: most likely it was replaced on another device"));
            }
            Some(SecretError::WrongPassword { left, wait }) => {
                note(format_args!("{}; try again, or use the recovery key", what_is_left(*left, *wait)));
            }
            Some(SecretError::Unguessed(why)) => {
                note(format_args!("{why}; the recovery key, or a passphrase, needs no vault"));
            }
            Some(error) => note(format_args!("{error}; try again")),
        }
        let secret = prompt_secret(&ways)?;
        self.typed = match &secret {
            Secret::Passphrase(text) => Some(text.clone()),
            _ => None,
        };
        Ok(Some(secret))
    }

    fn transport(&self) -> Option<Arc<dyn Transport>> {
        Some(Arc::new(Https::new()))
    }

    fn moved_vault(&self) -> Option<&VaultAddress> {
        self.moved_vault.as_ref()
    }

    fn may_guess(&mut self, ahead: &GuessAhead) -> io::Result<bool> {
        may_guess(ahead)
    }

    /// Who named a file wants it to be the one that opens the repository. A password costs a guess: where this device has the
    /// key, one that an old setting names must not spend them all.
    fn has_named(&self) -> bool {
        self.files.iter().any(|file| !matches!(file, SecretFile::Password(_)))
    }
}

/// Whether what was typed may be something else than a passphrase. Whoever can write to the storage may have put there some
/// that cannot be tried.
fn is_no_passphrase(refused: &SecretError) -> bool {
    use SecretError::{NotAllTried, OutOfMemory, PassphraseDamaged, WrongPassphrase};
    matches!(refused, WrongPassphrase | PassphraseDamaged | NotAllTried | OutOfMemory { .. })
}

/// Tells the owner where a guess goes and how many are left, and asks if they are few. Who named a file has answered.
pub(crate) fn may_guess(ahead: &GuessAhead) -> io::Result<bool> {
    let (host, left) = (format::printable(ahead.host.as_bytes()), format::guesses(ahead.left));
    note(format_args!("{left} left at the vault {host}; a wrong password costs one"));
    match (ahead.tried, is_at_terminal()) {
        // Only the first vault gets a password that nobody is there to answer for; and a script must not spend the last
        // guesses.
        (tried, false) => return Ok(tried == 0 && ahead.left > FEW_GUESSES),
        (0, true) if ahead.left > FEW_GUESSES => return Ok(true),
        (0, true) => {
            note("when none is left, the password leads nowhere; the recovery key, or a passphrase, always does");
        }
        (_, true) => note("is that a vault of yours? one that is not could learn the password, if it guesses it"),
    }
    confirm("guess with this password there?")
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

/// Asks for a new passphrase or password, twice.
pub(crate) fn prompt_new(what: &str) -> io::Result<Zeroizing<String>> {
    let _hidden = Hidden::hide();
    loop {
        let first = prompt(&format!("new {what}: "))?;
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

fn prompt_secret(ways: &Ways) -> io::Result<Secret> {
    // Also between the lines of one that is pasted in several.
    let _hidden = Hidden::hide();
    let vaults = ways.vaults.iter().map(|host| format::printable(host.as_bytes())).collect::<Vec<_>>().join(" and ");
    let question = match (ways.passphrase, ways.vaults.is_empty()) {
        (true, false) => format!("recovery key, passphrase, or password for the vault {vaults}: "),
        (true, true) => "recovery key or passphrase: ".to_owned(),
        (false, false) => format!("recovery key, or password for the vault {vaults}: "),
        (false, true) => "recovery key: ".to_owned(),
    };
    let mut typed = prompt(&question)?;
    // A recovery key that is pasted in several lines.
    while looks_like_recovery_key(&typed) && digits(&typed) < RECOVERY_KEY_DIGITS {
        let more = prompt("the rest (or just enter): ")?;
        if more.is_empty() {
            break;
        }
        typed = Zeroizing::new([typed.as_str(), more.as_str()].join(" "));
    }
    let is_recovery_key =
        looks_like_recovery_key(&typed) && digits(&typed) > RECOVERY_KEY_DIGITS / 2 || is_nearly_one(&typed);
    Ok(match ways {
        _ if is_recovery_key => Secret::RecoveryKey(typed),
        Ways { passphrase: true, .. } => Secret::Passphrase(typed),
        Ways { vaults, .. } if !vaults.is_empty() => Secret::Password(typed),
        _ => Secret::RecoveryKey(typed),
    })
}

/// Asks for a secret, without showing what is typed.
pub(crate) fn prompt(question: &str) -> io::Result<Zeroizing<String>> {
    // Before the question is there: the library asks first, and an answer that comes at once, as from a password manager, would
    // be seen.
    let _hidden = Hidden::hide();
    rpassword::prompt_password(question).map(Zeroizing::new)
}

/// Whether a text is groups of hex digits: what a person writes who copies a recovery key.
fn looks_like_recovery_key(text: &str) -> bool {
    let mut groups = text.split([' ', '-', '\t']).filter(|group| !group.is_empty()).peekable();
    groups.peek().is_some() && groups.all(|group| group.len() % 4 == 0 && group.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Whether a text is a recovery key in which some letters are none of its digits: as a password it would cost a guess.
fn is_nearly_one(text: &str) -> bool {
    let others = text.chars().filter(|c| !c.is_ascii_hexdigit() && !matches!(c, ' ' | '-' | '\t')).count();
    let numerals = text.chars().filter(char::is_ascii_digit).count();
    digits(text) > RECOVERY_KEY_DIGITS * 2 / 3
        && others <= RECOVERY_KEY_DIGITS / 8
        && numerals > RECOVERY_KEY_DIGITS / 8
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
            assert!(!is_nearly_one(text), "{text}");
        }
        let mistyped = format!("{}O123 456l", "89ab cdef ".repeat(8));
        assert!(is_nearly_one(&mistyped));
        assert!(!is_nearly_one(&"decade facade cabbage ".repeat(3)));
    }

    #[test]
    fn the_files_that_were_named_are_given_in_turn_and_nothing_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (key, phrase) = (folder.path().join("key"), folder.path().join("phrase"));
        std::fs::write(&key, "0123 4567\n89ab\n").unwrap();
        std::fs::write(&phrase, "correct horse\r\nanother line").unwrap();
        let mut owner = Owner::new(Some(&key), Some(&phrase), None);
        let given = owner.secret(Ways::NONE, None).unwrap();
        assert!(matches!(given, Some(Secret::RecoveryKey(text)) if *text == "0123 4567\n89ab\n"));
        assert_eq!(*read_line(&phrase).unwrap(), "correct horse");
        assert!(matches!(owner.secret(Ways::NONE, None).unwrap(), Some(Secret::Passphrase(_))));
        assert!(owner.secret(Ways::NONE, None).unwrap().is_none());
    }

    #[test]
    fn a_secret_is_not_read_out_of_a_large_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("video");
        std::fs::write(&path, vec![b'a'; 70_000]).unwrap();
        assert_eq!(read_line(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
