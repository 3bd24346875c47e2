//! What is killed.

use std::collections::BTreeSet;

/// A command, with what it is about.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// The first backup, which makes the repository.
    Init,
    Backup,
    Forget {
        ids: Vec<String>,
    },
    ForgetByPolicy {
        keep: usize,
        prune: bool,
    },
    Prune {
        max_unused: &'static str,
    },
    Rotate {
        keep_passphrase: bool,
    },
    AddPassphrase,
    RemovePassphrase {
        id: String,
    },
    Restore {
        id: String,
        target: String,
    },
    /// On a device that has nothing yet.
    Recover {
        home: String,
    },
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Init => "first backup",
            Self::Backup => "backup",
            Self::ForgetByPolicy { prune: true, .. } => "forget and prune",
            Self::Forget { .. } | Self::ForgetByPolicy { .. } => "forget",
            Self::Prune { .. } => "prune",
            Self::Rotate { .. } => "key rotate",
            Self::AddPassphrase => "key add",
            Self::RemovePassphrase { .. } => "key remove",
            Self::Restore { .. } => "restore",
            Self::Recover { .. } => "recover",
        }
    }

    /// Its arguments. `key` is the file of the recovery key that opens, `new_key` the one that a new key goes to.
    pub(crate) fn args(&self, key: &str, new_key: &str) -> Vec<String> {
        let args = match self {
            Self::Init => format!("backup chats --init --json --recovery-key-file {new_key}"),
            Self::Backup => "backup chats --json".to_owned(),
            Self::Forget { ids } => format!("forget {} --json", ids.join(" ")),
            Self::ForgetByPolicy { keep, prune } => {
                let prune = if *prune { "--prune" } else { "" };
                format!("forget --keep-last {keep} --group-by= {prune} --json")
            }
            Self::Prune { max_unused } => format!("prune --max-unused {max_unused} --json"),
            Self::Rotate { keep_passphrase } => {
                let passphrases =
                    if *keep_passphrase { "--keep-passphrase-file passphrase" } else { "--drop-passphrases" };
                format!("key rotate --yes {passphrases} --new-recovery-key-file {new_key} --json")
            }
            Self::AddPassphrase => "key add passphrase --new-passphrase-file passphrase --json".to_owned(),
            Self::RemovePassphrase { id } => format!("key remove {id} --json"),
            Self::Restore { id, target } => format!("restore {id} --target {target} --overwrite if-changed --json"),
            Self::Recover { .. } => format!("recover --recovery-key-file {key} --json"),
        };
        args.split_whitespace().map(str::to_owned).collect()
    }

    /// Whether it makes a snapshot.
    pub(crate) fn backs_up(&self) -> bool {
        matches!(self, Self::Init | Self::Backup)
    }

    /// Which of these snapshots it forgets, oldest first.
    pub(crate) fn forgets<'a>(&self, all: impl ExactSizeIterator<Item = &'a str>) -> BTreeSet<String> {
        match self {
            Self::Forget { ids } => ids.iter().cloned().collect(),
            Self::ForgetByPolicy { keep, .. } => {
                let going = all.len().saturating_sub(*keep);
                all.take(going).map(str::to_owned).collect()
            }
            _ => BTreeSet::new(),
        }
    }
}
