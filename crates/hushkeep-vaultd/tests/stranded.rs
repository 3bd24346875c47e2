//! The owner's device, or the vault, is killed while a password is added, changed, or taken through a rotation: the old
//! password or the new one leads to the key that holds.
//!
//! `HUSHKEEP_STRANDED_KILLS=1000` for more of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::env;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Served, folder};
use hushkeep::core::keys::BackupKey;
use hushkeep::core::wrap::Passphrase;
use hushkeep::vault::{self, Https, Transport, VaultAddress};
use hushkeep::{
    Ask, Found, Home, KeepKey, NewRepository, Opened, Place, Rotation, Secret, SecretError, UnlockError, Ways,
};
use zeroize::Zeroizing;

const GEESE: &str = "seven geese cross the frozen canal";
const HERONS: &str = "nine herons wait below the weir";

/// Tells the process that plays the device where its world is, what to do, and where the vault is.
const WORLD: &str = "HUSHKEEP_STRANDED_WORLD";
const DOING: &str = "HUSHKEEP_STRANDED_DOING";
const VAULT: &str = "HUSHKEEP_STRANDED_VAULT";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Adding,
    Changing,
    Rotating,
}

const ALL: [Doing; 3] = [Doing::Adding, Doing::Changing, Doing::Rotating];

/// An owner who types a password once.
struct Owner(Option<Secret>);

impl Ask for Owner {
    fn secret(&mut self, _: Ways, _: Option<&SecretError>) -> io::Result<Option<Secret>> {
        Ok(self.0.take())
    }

    fn transport(&self) -> Option<Arc<dyn Transport>> {
        Some(https())
    }
}

fn https() -> Arc<dyn Transport> {
    Arc::new(Https::new())
}

fn password(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

/// A folder with a repository, and the homes of devices.
struct World(PathBuf);

impl World {
    /// A phone that has the key, and, unless one is to be added, a password.
    fn new(root: &Path, vault: &VaultAddress, doing: Doing) -> Self {
        let world = Self(root.to_owned());
        let keep = KeepKey { on_device: true, in_file: None };
        let mut opened = NewRepository::generate().create(&world.home("phone"), &world.place(), &keep).unwrap();
        if doing != Doing::Adding {
            vault::add_password(&mut opened, &*https(), vault, &password(GEESE), "").unwrap();
        }
        world
    }

    fn home(&self, device: &str) -> Home {
        Home::at(&self.0.join(device))
    }

    fn place(&self) -> Place {
        self.0.join("repo").to_str().unwrap().parse().unwrap()
    }

    fn open(&self) -> Opened {
        Found::find(&self.home("phone"), &self.place()).unwrap().unlock(&mut Owner(None)).unwrap()
    }

    /// Whether a password leads to a key on a new device.
    fn leads(&self, text: &str, key: &BackupKey) -> bool {
        let mut owner = Owner(Some(Secret::Password(Zeroizing::new(text.to_owned()))));
        match Found::find(&self.home("laptop"), &self.place()).unwrap().unlock_by_asking(&mut owner) {
            Ok(opened) => opened.key.ct_eq(key),
            Err(UnlockError::Refused(_)) => false,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Does it, as far as it gets.
    fn act(&self, doing: Doing, vault: &VaultAddress) {
        let (mut opened, transport) = (self.open(), https());
        let first = vault::pairs(&opened.repository).into_iter().next();
        match (doing, first) {
            (Doing::Changing, Some((id, _))) => {
                let _ = vault::change_password(&mut opened, &*transport, (&id.to_string(), None), &password(HERONS));
            }
            (Doing::Rotating, Some((id, _))) => {
                let mut rotation = Rotation::prepare();
                let kept = rotation.carry_over_password(&opened, &transport, &id, &password(GEESE), &mut |_| Ok(true));
                if kept.is_ok() {
                    let _ = rotation.run(&mut opened, None);
                }
            }
            _ => {
                let _ = vault::add_password(&mut opened, &*transport, vault, &password(GEESE), "");
            }
        }
    }

    /// The device in a process of its own, which can be killed.
    fn device(&self, doing: Doing, vault: &VaultAddress) -> Child {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["the_device", "--exact", "--ignored"]).stdout(Stdio::null()).stderr(Stdio::null());
        let number = ALL.iter().position(|other| *other == doing).unwrap();
        command.env(WORLD, &self.0).env(DOING, number.to_string()).env(VAULT, vault.to_string()).spawn().unwrap()
    }

    /// The old password or the new one leads to the key that holds, and the next look at the vault puts the rest in order.
    fn check(&self, doing: Doing, what: &str) {
        let mut opened = self.open();
        let leads = |key: &BackupKey| self.leads(GEESE, key) || (doing == Doing::Changing && self.leads(HERONS, key));
        if doing == Doing::Adding && vault::pairs(&opened.repository).is_empty() {
            return;
        }
        assert!(leads(&opened.key), "{doing:?} {what}");
        for told in vault::attempts(&mut opened, &*https()) {
            told.attempts.unwrap_or_else(|error| panic!("{doing:?} {what}: {error:?}"));
        }
        assert_eq!(vault::pairs(&opened.repository).len(), 1, "{doing:?} {what}");
        assert!(leads(&opened.key), "{doing:?} {what}");
    }
}

/// Not a test, but what the device does that is killed.
#[test]
#[ignore = "is run by the test below"]
fn the_device() {
    let told = |name| env::var(name).unwrap();
    let doing = ALL[told(DOING).parse::<usize>().unwrap()];
    World(told(WORLD).into()).act(doing, &told(VAULT).parse().unwrap());
}

#[test]
fn whoever_is_killed_nobody_is_stranded() {
    let rounds: usize = env::var("HUSHKEEP_STRANDED_KILLS").map_or(3, |count| count.parse().unwrap());
    let mut ended_before = 0;
    let longest = ALL.map(|doing| round(doing, Duration::from_secs(600), false).0);
    let mut number = 0;
    while number < rounds {
        let kind = number % ALL.len();
        let after = Duration::from_micros(fastrand::u64(0..u64::try_from(longest[kind].as_micros()).unwrap()));
        // What ended before it could be killed is done again.
        match round(ALL[kind], after, fastrand::bool()) {
            (_, true) => number += 1,
            (_, false) => ended_before += 1,
        }
    }
    println!("{rounds} kills; {ended_before} more came too late");
}

/// Lets the device do something, and kills it or the vault after a while. Returns how long it ran, and whether it was still
/// running.
fn round(doing: Doing, after: Duration, kills_vault: bool) -> (Duration, bool) {
    let parent = tempfile::tempdir().unwrap();
    let (folder, listen) = (folder(&parent), free_address());
    let serve = || Served::start(&folder, &["--listen", &listen]);
    let mut served = serve();
    let world = World::new(parent.path(), &served.address, doing);
    let (began, mut device) = (Instant::now(), world.device(doing, &served.address));
    let mut is_running = true;
    while is_running && began.elapsed() < after {
        thread::sleep(Duration::from_millis(1));
        is_running = device.try_wait().unwrap().is_none();
    }
    let ran = began.elapsed();
    if is_running && kills_vault {
        served.kill();
        // As whoever looks after it would: the device is still there, and tries again.
        served = serve();
    } else if is_running {
        device.kill().unwrap();
    }
    device.wait().unwrap();
    world.check(doing, &format!("killed after {ran:?}, vault: {kills_vault}"));
    drop(served);
    (ran, is_running)
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
