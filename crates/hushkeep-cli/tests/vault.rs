//! A password behind a vault, from the owner's side of the command line.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod world;

#[path = "world/terminal.rs"]
mod terminal;

use std::net::TcpListener;
use std::path::Path;
use std::thread;

use axum_server::Handle;
use hushkeep_vaultd::serve::{ServeOptions, Server};
use world::World;

const GEESE: &str = "seven geese cross the frozen canal";
const HERONS: &str = "nine herons wait below the weir";

/// A vault, served until this is dropped.
struct Vault {
    address: String,
    handle: Handle<std::net::SocketAddr>,
    served: Option<thread::JoinHandle<()>>,
}

impl Vault {
    fn serve(folder: &Path) -> Self {
        Self::serve_at("127.0.0.1:0", folder)
    }

    fn serve_at(listen: &str, folder: &Path) -> Self {
        let server = Server::open(folder, &ServeOptions::default()).unwrap();
        let listener = TcpListener::bind(listen).unwrap();
        let address = format!("https://{}/#{}", listener.local_addr().unwrap(), server.id());
        let handle = Handle::new();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let served = {
            let handle = handle.clone();
            thread::spawn(move || runtime.block_on(server.run(listener, handle)).unwrap())
        };
        Self { address, handle, served: Some(served) }
    }

    /// Name and port.
    fn host(&self) -> &str {
        self.address.trim_start_matches("https://").split('/').next().unwrap()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.served.take().map(thread::JoinHandle::join);
    }
}

/// A backup with a password at a vault, and the password in the file `geese`.
fn with_password() -> (World, Vault, String) {
    let world = World::with_backup();
    world.write("geese", GEESE.as_bytes());
    world.write("herons", HERONS.as_bytes());
    let vault = Vault::serve(&world.path("vault"));
    let add = ["key", "add", "password", "--vault", &vault.address, "--new-password-file", "geese", "--json"];
    let id = world.run("phone", &add).objects()[0]["id"].as_str().unwrap().to_owned();
    (world, vault, id)
}

#[test]
fn a_lost_phone_is_replaced_by_the_password_and_the_storage() {
    let (world, _vault, _) = with_password();
    let said = world.run("laptop", &["recover", "--password-file", "herons"]).expect(12);
    assert!(said.contains("10 guesses left") && said.contains("wrong; 9 guesses left"), "{said}");
    let said = world.run("laptop", &["recover", "--password-file", "geese"]).expect(0);
    assert!(said.contains("9 guesses left") && said.contains("newest snapshot"), "{said}");
    world.run("laptop", &["restore", "-t", "restored"]).expect(0);
    assert_eq!(std::fs::read(world.path("restored/chats/hello.txt")).unwrap(), b"hello");

    let said = world.run("phone", &["attempts"]).expect(0);
    assert!(said.contains("10 guesses left") && said.contains("somebody guessed") && said.contains("new"), "{said}");
    let told = world.run("phone", &["attempts", "--json"]).objects();
    let last = told.last().unwrap();
    assert_eq!((&last["guesses_left"], &last["new"]), (&10.into(), &0.into()), "they were shown");
}

#[test]
fn after_three_wrong_guesses_the_owner_is_told_until_when_to_wait() {
    let (world, _vault, _) = with_password();
    for left in [9, 8, 7] {
        let said = world.run("laptop", &["recover", "--password-file", "herons"]).expect(12);
        assert!(said.contains(&format!("wrong; {left} guesses left")), "{said}");
        assert_eq!(left == 7, said.contains("use the recovery key or a passphrase, which need no vault"), "{said}");
    }
    let said = world.run("laptop", &["recover", "--password-file", "geese"]).expect(11);
    assert!(said.contains("no guess before"), "{said}");
    world.run("laptop", &["recover", "--recovery-key-file", "recovery-key"]).expect(0);
}

#[test]
fn a_password_is_changed_kept_through_a_rotation_and_removed() {
    let (world, vault, id) = with_password();
    let weak = world.path("weak");
    std::fs::write(&weak, "password1234").unwrap();
    let said = world.run("phone", &["key", "passwd", "--new-password-file", "weak"]).expect(1);
    assert!(said.contains("too easy to guess"), "{said}");
    world.run("phone", &["key", "passwd", &id, "--new-password-file", "herons"]).expect(0);
    world.run("laptop", &["recover", "--password-file", "geese"]).expect(12);
    world.run("laptop", &["recover", "--password-file", "herons"]).expect(0);

    let said = world.run("phone", &["key", "rotate", "--yes", "--new-recovery-key-file", "new-key"]).expect(2);
    assert!(said.contains("--keep-password-file"), "{said}");
    let rotate = ["key", "rotate", "--yes", "--new-recovery-key-file", "new-key", "--keep-password-file"];
    world.run("phone", &[&rotate[..], &["geese"]].concat()).expect(12);
    world.run("phone", &[&rotate[..], &["herons"]].concat()).expect(0);
    world.run("tablet", &["recover", "--password-file", "herons"]).expect(0);

    let said = world.run("phone", &["key", "list"]).expect(0);
    let host = vault.address.split('#').next().unwrap().trim_end_matches('/');
    let line = said.lines().find(|line| line.contains("password")).unwrap();
    assert!(line.contains(host), "{said}");
    let id = line.split(' ').next().unwrap();
    world.run("phone", &["key", "remove", id]).expect(0);
    world.run("pager", &["recover", "--password-file", "herons"]).expect(12);
    let said = world.run("phone", &["attempts"]).expect(0);
    assert!(said.contains("no password"), "{said}");
}

#[test]
fn a_password_that_a_rotation_drops_is_deleted_at_its_vault() {
    let (world, _vault, _) = with_password();
    let old = world.path("old");
    world::copy(&world.path("repo"), &old);
    world.run("phone", &["key", "rotate", "--yes", "--new-recovery-key-file", "new-key", "--drop-passwords"]).expect(0);
    let said = world.run("laptop", &["recover", "--repo", "old", "--password-file", "geese"]).expect(12);
    assert!(said.contains("no record of this password"), "{said}");
}

#[test]
fn without_its_vault_a_password_is_told_from_other_ways_and_can_be_given_up() {
    let (world, vault, id) = with_password();
    drop(vault);
    let said = world.run("laptop", &["recover", "--password-file", "geese"]).expect(16);
    assert!(said.contains("was not reached") && said.contains("recovery key"), "{said}");
    world.run("phone", &["attempts"]).expect(16);
    world.run("phone", &["key", "remove", &id]).expect(16);
    world.run("phone", &["backup", "chats"]).expect(0);
    world.run("phone", &["key", "remove", &id, "--without-vault"]).expect(0);
}

#[test]
fn another_key_at_the_address_is_told_loudly_and_gets_nothing() {
    let (world, vault, _) = with_password();
    let host = vault.host().to_owned();
    drop(vault);
    let other = Vault::serve_at(&host, &world.path("other-vault"));
    let said = world.run("laptop", &["recover", "--password-file", "geese"]).expect(16);
    assert!(said.contains("has another key") && said.contains("nothing was sent"), "{said}");
    let said = world.run("phone", &["attempts"]).expect(16);
    assert!(said.contains("has another key"), "{said}");
    assert_eq!(other.host(), host);
}

#[test]
fn a_vault_that_has_moved_is_the_same_vault() {
    let (world, vault, id) = with_password();
    drop(vault);
    let moved = Vault::serve(&world.path("vault"));
    world.run("laptop", &["recover", "--password-file", "geese"]).expect(16);
    let said = world.run("laptop", &["recover", "--password-file", "geese", "--vault", &moved.address]).expect(0);
    assert!(said.contains("still names the vault's old address"), "{said}");
    let said = world
        .run("phone", &["key", "add", "password", "--vault", &moved.address, "--new-password-file", "herons"])
        .expect(1);
    assert!(said.contains("if this one was moved, run"), "{said}");
    let other = Vault::serve(&world.path("other-vault"));
    let passwd = ["key", "passwd", &id, "--new-password-file", "herons", "--vault"];
    let said = world.run("phone", &[&passwd[..], &[&other.address]].concat()).expect(2);
    assert!(said.contains("another vault"), "{said}");
    world.run("phone", &[&passwd[..], &[&moved.address]].concat()).expect(0);
    world.run("tablet", &["recover", "--password-file", "herons"]).expect(0);
}

#[test]
fn a_vault_that_has_lost_the_record_is_told_loudly() {
    let world = World::with_backup();
    world.write("geese", GEESE.as_bytes());
    let (folder, records, old) = (world.path("vault"), world.path("vault/records.db"), world.path("old.db"));
    drop(Vault::serve(&folder));
    std::fs::copy(&records, &old).unwrap();
    let vault = Vault::serve(&folder);
    let add = ["key", "add", "password", "--vault", &vault.address, "--new-password-file", "geese", "--json"];
    let id = world.run("phone", &add).objects()[0]["id"].as_str().unwrap().to_owned();
    let address = vault.host().to_owned();
    drop(vault);
    std::fs::copy(&old, &records).unwrap();
    let _vault = Vault::serve_at(&address, &folder);
    let said = world.run("phone", &["attempts"]).expect(13);
    assert!(said.contains("has lost the record") && said.contains("key remove"), "{said}");
    let said = world.run("phone", &["key", "remove", &id]).expect(0);
    assert!(said.contains("to add one again: https://"), "{said}");
}

#[test]
fn at_a_terminal_it_is_asked_before_a_guess_is_spent() {
    let (world, vault, _) = with_password();
    world.run("phone", &["key", "add", "passphrase", "--new-passphrase-file", "herons"]).expect(0);
    let Some(terminal) = world.at_terminal("laptop", &["recover"]) else { return };
    let ways = &format!("recovery key, passphrase, or password for the vault {}:", vault.host());
    let is_it = "to be tried at its vault? [y/N]";
    let said = terminal
        .answer(ways, "not the passphrase")
        .answer(is_it, "n")
        .answer(ways, "not the password")
        .answer(is_it, "y")
        .answer(ways, GEESE)
        .answer(is_it, "y")
        .expect(0);
    let told = format!("10 guesses left at the vault {}; a wrong password costs one", vault.host());
    assert_eq!(said.matches(&told).count(), 1, "{said}");
    assert!(said.contains("the password is wrong; 9 guesses left"), "{said}");
    assert!(!said.contains("geese"), "what is typed is not shown: {said}");

    for _ in 0..3 {
        world.run("laptop", &["recover", "--password-file", "herons"]).expect(12);
    }
    // Whoever does not want to spend one of the last guesses is asked for another way.
    let Some(terminal) = world.at_terminal("tablet", &["recover"]) else { return };
    let key = std::fs::read_to_string(world.path("recovery-key")).unwrap();
    let said = terminal.answer(ways, GEESE).answer(is_it, "y").answer(ways, &key.replace('\n', " ")).expect(0);
    assert!(said.contains("no guess is answered") && said.contains("needs no vault"), "{said}");

    let Some(terminal) = world.at_terminal("phone", &["key", "passwd"]) else { return };
    let said = terminal
        .answer("new password:", "password1234")
        .answer("the same again:", "password1234")
        .answer("new password:", HERONS)
        .answer("the same again:", HERONS)
        .expect(0);
    assert!(said.contains("too easy to guess") && said.contains("replaces"), "{said}");
}

/// Whole outputs, as they are printed: only what differs from run to run has a word in its place.
#[test]
fn what_is_printed_of_a_password_is_what_is_written_down() {
    let world = World::with_backup();
    world.write("geese", GEESE.as_bytes());
    let vault = Vault::serve(&world.path("vault"));
    let plain = |text: String| {
        let (host, fragment) = vault.address.trim_start_matches("https://").split_once('/').unwrap();
        let text = text.replace(fragment, "KEY").replace(host, "HOST");
        let text = text.replace("cargo run --release --", "hushkeep").replace("cargo run --", "hushkeep");
        let device = text.split_once("made by ").and_then(|(_, rest)| rest.lines().next()).unwrap_or_default();
        let text = text.replace(&format!("made by {device}"), "made by NAME");
        let ends = [' ', '\n', ',', '"'];
        let is_id = |word: &str| word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit());
        let is_time = |word: &str| word.len() >= 8 && word.chars().all(|c| c.is_ascii_digit() || "-:TZ".contains(c));
        let words = text.split_inclusive(ends).map(|word| match word.trim_end_matches(ends) {
            id if is_id(id) => word.replace(id, "ID"),
            time if is_time(time) => word.replace(time, "TIME"),
            _ => word.to_owned(),
        });
        words.collect::<String>()
    };
    let add = ["key", "add", "password", "--vault", &vault.address, "--new-password-file", "geese"];
    let printed = [
        ("phone", &add[..]),
        ("laptop", &["recover", "--password-file", "geese"]),
        ("phone", &["attempts"]),
        ("phone", &["attempts", "--json"]),
        ("phone", &["off", "--yes"]),
    ]
    .map(|(device, args)| {
        let run = world.run(device, args);
        format!("$ {}\n{}exit {}\n\n", plain(args.join(" ")), plain(run.out + &run.err), run.code)
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/password.txt");
    if std::env::var_os("TRYCMD").is_some_and(|how| how == "overwrite") {
        std::fs::write(&path, printed.concat()).unwrap();
    }
    assert_eq!(printed.concat(), std::fs::read_to_string(path).unwrap());
}

#[test]
fn off_leaves_nothing_at_the_vault_or_on_the_device() {
    let (world, _vault, _) = with_password();
    let said = world.run("phone", &["off"]).expect(2);
    assert!(said.contains("--yes"), "{said}");
    world.run("phone", &["off", "--yes"]).expect(0);
    world.run("phone", &["snapshots"]).expect(12);
    world.run("laptop", &["recover", "--password-file", "geese"]).expect(12);
    world.run("laptop", &["recover", "--recovery-key-file", "recovery-key"]).expect(0);
    world.run("laptop", &["off", "--yes", "--delete-backups"]).expect(0);
    world.run("tablet", &["recover", "--recovery-key-file", "recovery-key"]).expect(10);
}
