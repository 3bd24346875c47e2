//! A vault that is served by the program itself, and clients that speak its protocol.
#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::UNIX_EPOCH;

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use hushkeep::core::Secret;
use hushkeep::core::keys::{BackupKey, Epoch};
use hushkeep::core::name::RepositoryId;
use hushkeep::core::wrap::{KdfParams, Passphrase};
use hushkeep::vault::{Https, Reply, Transport, TransportError, VaultAddress};
use hushkeep_vault::client::{Recovery, Registration, UpdateKeys};
use hushkeep_vault::message::{HistoryReply, LookRequest};
use hushkeep_vault::request::Request;
use hushkeep_vault::server::{AttemptStore, Vault};
use hushkeep_vault::{Locator, Pair, UpdateKey};

pub(crate) const PASSWORD: &str = "seven geese cross the frozen canal";

pub(crate) fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// In seconds since 1970-01-01 00:00:00 UTC.
pub(crate) fn now() -> i64 {
    i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hushkeep-vaultd"))
}

/// The program, serving a vault until this is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: VaultAddress,
}

impl Served {
    pub(crate) fn start(folder: &Path, more: &[&str]) -> Self {
        let mut command = program();
        command.arg("serve").arg("--dir").arg(folder);
        if !more.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if !more.contains(&"--requests-a-minute") {
            command.args(["--requests-a-minute", "0"]);
        }
        let log = folder.with_extension("log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = command.args(more).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse();
        let said = || std::fs::read_to_string(&log).unwrap();
        Self { child, address: address.unwrap_or_else(|error| panic!("{error}: {line:?}\n{}", said())) }
    }

    /// Kills it, whatever it is doing (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has. Whether it ended well.
    pub(crate) fn end(self) -> bool {
        self.ask_to_end();
        self.has_ended()
    }

    /// Asks it to end (SIGTERM).
    pub(crate) fn ask_to_end(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits until it has ended. Whether it ended well.
    pub(crate) fn has_ended(mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An owner of a record.
pub(crate) struct Owner {
    pub(crate) key: BackupKey,
    pub(crate) locator: Locator,
    pub(crate) pair: Option<Pair>,
}

impl Owner {
    pub(crate) fn new() -> Self {
        let key = BackupKey::from_secret(Secret::generate(&mut rng()));
        Self { key, locator: Locator::generate(&mut rng()), pair: None }
    }

    pub(crate) fn update_key(&self, vault: &VaultAddress) -> UpdateKey {
        let secret = self.key.epoch_secret(&RepositoryId::from_bytes([1; 16]), Epoch(0));
        UpdateKey::derive(&secret, &vault.vault(), &self.locator)
    }

    /// Registers the password, as far as the vault answers.
    pub(crate) fn register(&mut self, vault: &VaultAddress) -> Result<(), TransportError> {
        let (password, owner, address) =
            (Passphrase::new(PASSWORD).unwrap(), self.update_key(vault), vault.to_string());
        let base = address.split("/#").next().unwrap().to_owned();
        let (registration, request) =
            Registration::begin((base, vault.vault()), self.locator, &password, KdfParams::FLOOR, &mut rng()).unwrap();
        let reply = ask(vault, &request)?;
        let (staged, request) =
            registration.stage(&reply, &self.key, UpdateKeys { owner: &owner, next: &owner }, &mut rng()).unwrap();
        ask(vault, &request)?;
        let (pair, request) = staged.commit(&owner);
        // Once it is staged it leads to the key, committed or not.
        self.pair = Some(pair);
        ask(vault, &request)?;
        Ok(())
    }

    /// What became of the record.
    pub(crate) fn history(&self, vault: &VaultAddress) -> HistoryReply {
        let request = self.pair.as_ref().unwrap().history(&self.update_key(vault));
        ask(vault, &request).unwrap()
    }

    /// Deletes the record, as far as the vault answers.
    pub(crate) fn delete(&self, vault: &VaultAddress) -> Result<(), TransportError> {
        let request = self.pair.as_ref().unwrap().delete(&self.update_key(vault));
        ask(vault, &request)
    }

    /// Whether the record is there.
    pub(crate) fn is_there(&self, vault: &VaultAddress) -> bool {
        let request = self.pair.as_ref().unwrap().look();
        match post(vault, LookRequest::PATH, &request.encode()).unwrap().status {
            200 => true,
            404 => false,
            status => panic!("{status}"),
        }
    }

    /// The key, by the password.
    pub(crate) fn recover(&self, vault: &VaultAddress) -> BackupKey {
        let (pairs, password) = ([self.pair.clone().unwrap()], Passphrase::new(PASSWORD).unwrap());
        let (recovery, request) = Recovery::begin(&pairs, &password, &mut rng()).unwrap();
        let reply = ask(vault, &request).unwrap();
        let (awaiting, request) = recovery.prove(&reply, &mut rng()).unwrap().remove(0);
        let reply = ask(vault, &request).unwrap();
        awaiting.open(&reply).unwrap()
    }
}

impl Owner {
    /// The key, by the password, from a vault that is not served.
    pub(crate) fn recover_at(&self, vault: &Vault, store: &dyn AttemptStore) -> BackupKey {
        let (pairs, password) = ([self.pair.clone().unwrap()], Passphrase::new(PASSWORD).unwrap());
        let (recovery, request) = Recovery::begin(&pairs, &password, &mut rng()).unwrap();
        let reply = vault.guess(store, &request, now(), &mut rng()).unwrap();
        let (awaiting, request) = recovery.prove(&reply, &mut rng()).unwrap().remove(0);
        awaiting.open(&vault.prove(store, &request, now(), &mut rng()).unwrap().reply).unwrap()
    }
}

/// A guess at a record, as it is sent.
pub(crate) fn guess(pair: &Pair, text: &str) -> Vec<u8> {
    let password = Passphrase::new(text).unwrap();
    Recovery::begin(std::slice::from_ref(pair), &password, &mut rng()).unwrap().1.encode()
}

pub(crate) fn post(vault: &VaultAddress, path: &str, message: &[u8]) -> Result<Reply, TransportError> {
    Https::without_retries().post(vault, path, message)
}

/// The answer to a request, which is no refusal.
pub(crate) fn ask<R: Request>(vault: &VaultAddress, request: &R) -> Result<R::Reply, TransportError> {
    Ok(R::reply(&answered(&post(vault, R::PATH, &request.message())?)).unwrap())
}

/// What was answered, which is no refusal.
pub(crate) fn answered(reply: &Reply) -> Vec<u8> {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.body.clone()
}

pub(crate) fn folder(parent: &tempfile::TempDir) -> PathBuf {
    parent.path().join("vault")
}
