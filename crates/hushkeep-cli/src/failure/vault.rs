//! Errors of key vaults and the passwords behind them.

use hushkeep::PasswordError;
use hushkeep::off::OffError;
use hushkeep::repo::Timestamp;
use hushkeep::vault::{
    AttemptsError, GuessError, Refusal, RegisterError, RegistrationError, TransportError, UnfitPassword, VaultError,
};

use super::{Exit, Failure, LOOK_AGAIN, facts};
use crate::ask::FEW_GUESSES;
use crate::format;

const UNREAD: &str = "nothing was read or written; the backup is whole";

const OTHER_WAYS: &str = "run the command again when the vault can be reached, or use the recovery key or a \
     passphrase: they need no vault. for a password whose vault is gone for good, run `key remove` with \
     --without-vault";

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let what = facts(&error);
        match &error {
            VaultError::Transport { source: TransportError::NotTheVault(_), .. } => Self::new(
                Exit::Vault,
                what,
                "nothing was sent: somebody may stand between, or the vault has another key now",
                "try another network; if it stays so, ask whoever runs the vault, and use the recovery key until then",
            ),
            VaultError::Refused { refusal, .. } => refused(refusal, what),
            _ => Self::new(Exit::Vault, what, UNREAD, OTHER_WAYS),
        }
    }
}

fn refused(refusal: &Refusal, what: String) -> Failure {
    match refusal {
        Refusal::Locked { seconds } => Failure::new(
            Exit::Locked,
            format!("the vault answers no guess before {}", until(*seconds)),
            "no guess was counted now; the backup is whole",
            "wait that long, or use the recovery key or a passphrase: they need no vault",
        ),
        Refusal::Destroyed => Failure::new(
            Exit::Locked,
            what,
            "the password leads to the key no more, not even the right one; the backup is whole",
            "use the recovery key or a passphrase, or a device that has the key; then `key list` shows the password, \
             `key remove ID` removes it, and `key add password` adds one again",
        ),
        Refusal::AnotherVault => Failure::new(
            Exit::Vault,
            what,
            "no guess was counted; the vault may have lost its keys, or somebody stands in its place",
            "ask whoever runs the vault, and use the recovery key or a passphrase until then",
        ),
        Refusal::ChangedParameters => Failure::new(
            Exit::Damaged,
            what,
            "no guess was counted; the record is damaged, or somebody changed it",
            "use the recovery key or a passphrase, and then change the password with `key passwd`",
        ),
        Refusal::NoRecord => Failure::new(
            Exit::WrongKey,
            what,
            "no guess was counted; the vault lost the record, or it was removed from another device; the backup is whole",
            "use the recovery key or a passphrase; where this device has the key, `key list` shows the password, `key \
             remove ID` removes it, and `key add password` adds one again",
        ),
        Refusal::NoSuchPassword => Failure::new(
            Exit::WrongKey,
            what,
            "no guess was counted; this storage shows an old state, or the password was changed at the same time",
            "run the command again, or use the recovery key or a passphrase",
        ),
        _ => unusual(refusal, what),
    }
}

/// What is refused to the owner, or for want of an answer.
fn unusual(refusal: &Refusal, what: String) -> Failure {
    match refusal {
        Refusal::Meanwhile => Failure::new(
            Exit::Failed,
            what,
            "the password is as it was; somebody else used the record, or guesses at it",
            "run the command again, and look at `attempts`",
        ),
        Refusal::TooManyRegistrations => {
            Failure::new(Exit::Failed, what, "the password is as it was", "run the command again tomorrow")
        }
        Refusal::NotTheOwner => Failure::new(
            Exit::Failed,
            what,
            "the key was replaced on another device, or somebody who had it changed the record; the backup is whole",
            "run `recover` and try again. if that does not help, and nobody of yours did it: `key list` shows the \
             password, `key remove ID --without-vault` gives it up, `key rotate` shuts out who had the key; then add a \
             password again",
        ),
        Refusal::DamagedRecord => Failure::new(
            Exit::Vault,
            what,
            "no guess was counted now; the backup is whole",
            "tell whoever runs the vault, and use the recovery key or a passphrase until then. where this device has \
             the key: `key list` shows the password, `key remove ID --without-vault` gives it up; then add one again",
        ),
        Refusal::SlowDown => Failure::new(
            Exit::Vault,
            what,
            "no guess was counted; the backup is whole",
            "run the command again in a minute, or use the recovery key or a passphrase: they need no vault",
        ),
        _ => Failure::new(Exit::Vault, what, UNREAD, OTHER_WAYS),
    }
}

/// When so many seconds have passed.
fn until(seconds: u32) -> String {
    let now = hushkeep::now();
    format::time(Timestamp { seconds: now.seconds.saturating_add(seconds.into()), ..now })
}

impl From<GuessError> for Failure {
    fn from(error: GuessError) -> Self {
        let what = facts(&error);
        match error {
            GuessError::Vault(error) => error.into(),
            GuessError::Unanswered(error) => Self {
                meaning: "the guess was sent, and may have been counted; the backup is whole".to_owned(),
                ..error.into()
            },
            GuessError::Declined => Self::new(
                Exit::WrongKey,
                what,
                UNREAD,
                "run the command at a terminal, which asks before a guess that may be one of the last; or use the \
                 recovery key or a passphrase, which need no vault",
            ),
            GuessError::WrongPassword { left, wait } => wrong_password(left, wait),
            GuessError::Unproven(_) => Self::new(
                Exit::Vault,
                what,
                "the password is right, but the vault gave no key; the guess may have been counted; the backup is whole",
                "run the command again, or use the recovery key or a passphrase: they need no vault",
            ),
            GuessError::Answer { .. } => {
                Self::new(Exit::Vault, what, "the guess was counted; the backup is whole", OTHER_WAYS)
            }
            GuessError::OutOfMemory => {
                Self::new(Exit::Failed, what, "the guess was counted", "close other programs and try again")
            }
            _ => Self::new(Exit::Failed, what, UNREAD, "use the recovery key or a passphrase"),
        }
    }
}

pub(super) fn wrong_password(left: u8, wait: u32) -> Failure {
    let next = match left {
        0 => "use the recovery key or a passphrase: the password leads to nothing any more",
        1..=FEW_GUESSES => {
            "use the recovery key or a passphrase, which need no vault: when the guesses are spent, the password leads nowhere"
        }
        _ => "try again, or use the recovery key or a passphrase",
    };
    let what = what_is_left(left, wait);
    Failure::new(Exit::WrongKey, what, "nothing was read or written; the backup is whole", next)
}

/// What became of a wrong password, for a person.
pub(crate) fn what_is_left(left: u8, wait: u32) -> String {
    let until =
        if wait == 0 || left == 0 { String::new() } else { format!(", the next one not before {}", until(wait)) };
    format!("the password is wrong; {} left{until}", format::guesses(left))
}

/// A change of a password that its vault did not make.
fn registering(error: VaultError) -> Failure {
    let next = match &error {
        VaultError::Transport { source: TransportError::Unreachable(_), .. } => Some(
            "try again later, or check the address with whoever runs the vault; if it was moved, run `key passwd` with \
             --vault. to give up a password whose vault is gone for good, run `key remove ID --without-vault`, or `off \
             --without-vault`",
        ),
        // Somebody else than the vault answered, or somebody else changed the record: that is what it means.
        VaultError::Transport { .. } | VaultError::Refused { refusal: Refusal::NotTheOwner, .. } => {
            return error.into();
        }
        VaultError::Refused { refusal: Refusal::Ticket, .. } => Some("run the command again"),
        _ => None,
    };
    let failure = Failure { meaning: "the password is as it was".to_owned(), ..error.into() };
    Failure { next: next.map_or_else(|| failure.next.clone(), str::to_owned), ..failure }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        let what = facts(&error);
        match error {
            RegisterError::Vault(error) => registering(error),
            RegisterError::Config(error) => error.into(),
            RegisterError::Deleted(error) => Self {
                meaning:
                    "the vault has deleted the record: the password leads nowhere, but the repository still names it"
                        .to_owned(),
                next: "run the command again".to_owned(),
                ..error.into()
            },
            RegisterError::HasPassword => Self::new(
                Exit::Failed,
                what,
                "the password is as it was",
                "change it with `key passwd`, or name another vault. if this one was moved, run `key passwd` with --vault",
            ),
            RegisterError::AnotherVault => Self::usage(
                what,
                "give the address that `hushkeep-vaultd serve` prints at the new place. if the vault has new keys, \
                 remove the password with --without-vault and add one there",
            ),
            RegisterError::Answer { source: RegistrationError::OutOfMemory, .. } => {
                Self::new(Exit::Failed, what, "the password is as it was", "close other programs and try again")
            }
            RegisterError::NotFound(_) => Self::usage(what, "run `key list` to see the ids"),
            RegisterError::Answer { .. } => Self::new(
                Exit::Vault,
                what,
                "the password is as it was; somebody may stand between, or the address has another vault's key",
                "compare the address with what whoever runs the vault tells you",
            ),
            _ => Self::new(Exit::Failed, what, "the password is as it was", LOOK_AGAIN),
        }
    }
}

impl From<PasswordError> for Failure {
    fn from(error: PasswordError) -> Self {
        let what = facts(&error);
        match error {
            // What became of the guess must be said.
            PasswordError::Guess(error) => {
                let failure = Self::from(error);
                Self { meaning: format!("the key is as it was; {}", failure.meaning), ..failure }
            }
            PasswordError::Register(error) => Self { meaning: "the key is as it was".to_owned(), ..error.into() },
            _ => Self::usage(what, "run `key list` to see the passwords"),
        }
    }
}

impl From<OffError> for Failure {
    fn from(error: OffError) -> Self {
        let failure: Self = match error {
            OffError::Open(error) => error.into(),
            OffError::Storage(error) => error.into(),
            OffError::Home(error) => error.into(),
            error => Self::new(Exit::Failed, facts(&error), "", ""),
        };
        Self {
            meaning: "a part of the backups may be deleted; this device still has its key".to_owned(),
            next: "run the command again, or delete the folder where the backups are kept".to_owned(),
            ..failure
        }
    }
}

impl From<UnfitPassword> for Failure {
    fn from(error: UnfitPassword) -> Self {
        match error {
            UnfitPassword::TooWeak(weak) => {
                let reason = weak.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
                Self::new(
                    Exit::Failed,
                    format!("{weak}{}", reason.to_lowercase()),
                    "the password was not registered: whoever runs the vault could find it, for it does not count his guesses",
                    "choose several random words, or more of them",
                )
            }
            UnfitPassword::Unfit(error) => {
                Self { meaning: "the password was not registered".to_owned(), ..error.into() }
            }
            error => Self::new(Exit::Failed, facts(&error), "the password was not registered", LOOK_AGAIN),
        }
    }
}

impl From<AttemptsError> for Failure {
    fn from(error: AttemptsError) -> Self {
        let what = facts(&error);
        match error {
            AttemptsError::Vault(error @ VaultError::Transport { source: TransportError::Unreachable(_), .. }) => {
                Self { next: "try again later; the backup does not need the vault".to_owned(), ..error.into() }
            }
            AttemptsError::Vault(error) => error.into(),
            AttemptsError::Config(error) => error.into(),
            AttemptsError::Home(error) => error.into(),
            AttemptsError::AnotherHistory { .. } => Self::new(
                Exit::RolledBack,
                what,
                "an old state of the vault was put back, and guesses at your password with it; or the vault lies",
                "ask whoever runs the vault. to take what it tells now, change the password with `key passwd`, and \
                 again on each other device that says so; or remove it with `key remove ID` and add one anew, which \
                 all devices take",
            ),
            AttemptsError::Lost { .. } => Self::new(
                Exit::RolledBack,
                what,
                "the password leads to the key no more: an old state of the vault was put back, or the record was \
                 deleted; the backup is whole",
                "ask whoever runs the vault; `key list` shows the password, `key remove ID` removes it, and `key add \
                 password` adds one again",
            ),
            AttemptsError::NoneLeads { .. } => Self::new(
                Exit::Failed,
                what,
                "it may have been changed on another device, or this storage shows an old state; the backup is whole",
                "change the password with `key passwd`, or remove it with `key remove ID`",
            ),
            _ => Self::new(Exit::Failed, what, "the backup is whole", "change the password with `key passwd`"),
        }
    }
}
