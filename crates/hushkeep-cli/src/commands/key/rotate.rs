//! `hushkeep key rotate`: a new key, from now on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hushkeep::core::name::ProtectorId;
use hushkeep::core::wrap::Passphrase;
use hushkeep::repo::{Protector, ProtectorKind};
use hushkeep::vault::{self, Https, Pair, Transport, VaultError};
use hushkeep::{Opened, RotateError, Rotated, Rotation, SecretError};
use serde_json::json;

use crate::args::{JsonArgs, KeyArgs, RepoArgs};
use crate::ask;
use crate::failure::{Exit, Failure, facts};
use crate::format;
use crate::invocation::Invocation;
use crate::output::{Output, note};
use crate::{recovery_key, session};

#[derive(Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Write the new recovery key to this file, which must not exist yet
    #[arg(long, value_name = "FILE")]
    new_recovery_key_file: Option<PathBuf>,
    /// Keep the passphrase in this file: it will lead to the new key. For several passphrases give it several times
    #[arg(long, value_name = "FILE")]
    keep_passphrase_file: Vec<PathBuf>,
    /// Keep the password in this file: it will lead to the new key. Its vault is asked first whether it is right
    #[arg(long, value_name = "FILE")]
    keep_password_file: Option<PathBuf>,
    /// Drop the passwords that are not kept by --keep-password-file
    #[arg(long)]
    drop_passwords: bool,
    /// Drop the passphrases that are not kept by --keep-passphrase-file
    #[arg(long)]
    drop_passphrases: bool,
    /// Drop the ways to get the key back that this version of hushkeep does not know: it cannot keep them
    #[arg(long)]
    drop_unknown: bool,
    /// Replace the key without asking first
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(crate) fn run(args: &RotateArgs, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    let in_file = args.new_recovery_key_file.as_deref();
    refuse_silence(args)?;
    let mut opened = session::open(&args.repo, &args.key)?;
    if in_file.is_none() && !opened.device.key_file().exists() {
        return Err(RotateError::KeptNowhere.into());
    }
    vault::finish_changes(&mut opened, &Https::new());
    let mut rotation = Rotation::prepare();
    if !args.drop_unknown {
        ask_for_unknown(&rotation, &opened)?;
    }
    let mut kept = Vec::new();
    for file in &args.keep_passphrase_file {
        kept.extend(carry_over_from(file, &mut rotation, &opened)?);
    }
    if let Some(file) = &args.keep_password_file {
        kept.extend(carry_over_password_from(file, &mut rotation, &opened)?);
    }
    if !args.drop_passphrases {
        kept.extend(ask_for_others(&mut rotation, &opened)?);
    }
    if !args.drop_passwords {
        kept.extend(ask_for_passwords(&mut rotation, &opened)?);
    }
    let is_kept = |protector: &&Protector| kept.contains(&protector.id);
    let kept_names: Vec<String> = opened.repository.protectors().iter().filter(is_kept).map(name).collect();
    let dropped: Vec<String> = rotation.dropped(&opened).iter().map(|protector| name(protector)).collect();
    if !args.yes && !confirmed(&dropped)? {
        return Err(not_replaced("run the command again when you are ready"));
    }
    let dropped_ids: Vec<String> = rotation.dropped(&opened).iter().map(|old| old.id.to_string()).collect();
    let mut gone: Vec<Pair> = rotation.dropped(&opened).into_iter().filter_map(vault::pair_of).collect();
    let new_key = rotation.recovery_key();
    let rotated = rotation.run(&mut opened, in_file)?;
    let on_device = opened.device.key_file().exists();
    output.object(
        "summary",
        json!({
            "recovery_key_file": in_file.map(|path| path.display().to_string()),
            "device_key": on_device,
            "kept": kept.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "dropped": dropped_ids,
            "undeleted": rotated.undeleted,
        }),
    )?;
    note("replaced the key of the repository");
    recovery_key::show(&new_key, output);
    let place = recovery_key::whereabouts(in_file, on_device, invocation, output);
    output.text(format_args!("new recovery key: {place}\n"))?;
    tell_what_it_means(&kept_names, &dropped, invocation, output)?;
    // A password that was being changed has two pairs of one record, of which one may be kept.
    let kept_records = vault::pairs(&opened.repository);
    gone.retain(|pair| kept_records.iter().all(|(_, kept)| kept.record() != pair.record()));
    delete_records(&opened, &gone);
    tell_flaws(rotated)
}

fn not_replaced(next: &str) -> Failure {
    Failure::new(Exit::Failed, "the key was not replaced", "nothing was changed, as you wished", next)
}

/// Without a terminal every question needs its answer beforehand.
fn refuse_silence(args: &RotateArgs) -> Result<(), Failure> {
    if args.new_recovery_key_file.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage(
            "the new recovery key cannot be written to standard input",
            "name a file that does not exist yet with --new-recovery-key-file",
        ));
    }
    if !args.yes && !ask::is_at_terminal() {
        return Err(Failure::usage("nobody is there to say yes", "run the command again with --yes"));
    }
    Ok(())
}

/// Keeps the passphrase in a file.
fn carry_over_from(file: &Path, rotation: &mut Rotation, opened: &Opened) -> Result<Vec<ProtectorId>, Failure> {
    let unchanged = |failure: Failure| Failure { meaning: "the key is as it was".to_owned(), ..failure };
    let typed = ask::read_line(file).map_err(|error| {
        let what = format!("{} cannot be read: {error}", file.display());
        unchanged(Failure::new(Exit::Failed, what, "", "name a readable file with --keep-passphrase-file"))
    })?;
    let passphrase = Passphrase::new(&typed).map_err(|_| SecretError::EmptyPassphrase);
    let carried = passphrase.and_then(|passphrase| rotation.carry_over(opened, &passphrase));
    carried.map_err(|error| {
        let what = format!("{}: {error}", file.display());
        let next = "name a file with a passphrase that opens the repository; `key list` lists what there is";
        unchanged(Failure { what, next: next.to_owned(), ..error.into() })
    })
}

/// Asks whether to drop what this version does not know: only one that does can have it lead to the new key.
fn ask_for_unknown(rotation: &Rotation, opened: &Opened) -> Result<(), Failure> {
    let is_unknown = |old: &&Protector| !matches!(old.kind, ProtectorKind::Passphrase(_) | ProtectorKind::Vault(_));
    for old in rotation.dropped(opened).into_iter().filter(is_unknown) {
        let what = format!("{} is unknown to this version of hushkeep, which cannot keep it", name(old));
        let next =
            "replace the key with the newest version of hushkeep, which may keep it, or drop it with --drop-unknown";
        if !ask::is_at_terminal() {
            return Err(Failure::usage(what, next));
        }
        note(what);
        if !ask::confirm("drop it?")? {
            return Err(not_replaced(next));
        }
    }
    Ok(())
}

/// Asks for each passphrase that is not kept yet; just enter drops it.
fn ask_for_others(rotation: &mut Rotation, opened: &Opened) -> Result<Vec<ProtectorId>, Failure> {
    let mut kept = Vec::new();
    let others: Vec<Protector> = rotation.dropped(opened).into_iter().cloned().collect();
    for old in others.iter().filter(|old| matches!(old.kind, ProtectorKind::Passphrase(_))) {
        if !ask::is_at_terminal() {
            return Err(Failure::usage(
                format!("{} would no longer open the repository", name(old)),
                "keep it with --keep-passphrase-file, or drop it with --drop-passphrases",
            ));
        }
        while rotation.dropped(opened).iter().any(|dropped| dropped.id == old.id) {
            let typed = ask::prompt(&format!("{}, to keep it (or just enter to drop it): ", name(old)))?;
            let Ok(passphrase) = Passphrase::new(&typed) else { break };
            match rotation.carry_over(opened, &passphrase) {
                Ok(ids) => kept.extend(ids),
                Err(error) => note(format_args!("{error}; try again")),
            }
        }
    }
    Ok(kept)
}

/// Keeps the password in a file, at each vault that has one.
fn carry_over_password_from(
    file: &Path,
    rotation: &mut Rotation,
    opened: &Opened,
) -> Result<Vec<ProtectorId>, Failure> {
    let unusable = |why: String| {
        let what = format!("{}: {why}", file.display());
        Failure::new(Exit::Failed, what, "the key is as it was", "name a readable file with --keep-password-file")
    };
    let typed = ask::read_line(file).map_err(|error| unusable(error.to_string()))?;
    let password = Passphrase::new(&typed).map_err(|_| unusable("it is empty".to_owned()))?;
    let ids = passwords(rotation, opened);
    for id in &ids {
        let carried = rotation.carry_over_password(opened, &https(), id, &password, &mut ask::may_guess);
        carried.map_err(|error| {
            let failure = Failure::from(error);
            let next = format!("{}. or drop it with --drop-passwords: you can add one again afterwards", failure.next);
            Failure { next, ..failure }
        })?;
    }
    Ok(ids)
}

/// Asks for each password that is not kept yet; just enter drops it.
fn ask_for_passwords(rotation: &mut Rotation, opened: &Opened) -> Result<Vec<ProtectorId>, Failure> {
    let mut kept = Vec::new();
    for id in passwords(rotation, opened) {
        let name = opened.repository.protectors().iter().find(|old| old.id == id).map(name).unwrap_or_default();
        if !ask::is_at_terminal() {
            return Err(Failure::usage(
                format!("{name} would no longer open the repository"),
                "keep it with --keep-password-file, or drop it with --drop-passwords",
            ));
        }
        loop {
            let typed = ask::prompt(&format!("{name}, to keep it (or just enter to drop it): "))?;
            let Ok(password) = Passphrase::new(&typed) else { break };
            match rotation.carry_over_password(opened, &https(), &id, &password, &mut ask::may_guess) {
                Ok(()) => {
                    kept.push(id);
                    break;
                }
                // Wrong, or its vault is not there: it can be dropped, and one be added afterwards.
                Err(error) => note(format_args!("{}; try again, or drop it", Failure::from(error).what)),
            }
        }
    }
    Ok(kept)
}

/// Has vaults delete the records of passwords that were dropped. They lead to the old key, for whoever has a copy of the old
/// config.
fn delete_records(opened: &Opened, pairs: &[Pair]) {
    for pair in pairs {
        if let Err(error) = vault::delete_record(opened, &Https::new(), pair) {
            let host = format::printable(vault::host_of(pair).as_bytes());
            note(format_args!(
                "warning: the vault at {host} still has the record of the password that was dropped ({})",
                facts(&error)
            ));
        }
    }
}

/// The passwords that do not lead to the new key yet.
fn passwords(rotation: &Rotation, opened: &Opened) -> Vec<ProtectorId> {
    let dropped = rotation.dropped(opened).into_iter();
    dropped.filter(|old| matches!(old.kind, ProtectorKind::Vault(_))).map(|old| old.id).collect()
}

fn https() -> Arc<dyn Transport> {
    Arc::new(Https::new())
}

fn confirmed(dropped: &[String]) -> io::Result<bool> {
    note("everything that is backed up from now on will need a new key. the old recovery key will open the");
    note("repository no more, and your other devices must be given the new one");
    dropped.iter().for_each(|name| note(format_args!("{name} will be dropped")));
    ask::confirm("replace the key?")
}

fn name(protector: &Protector) -> String {
    let kind = match protector.kind {
        ProtectorKind::Passphrase(_) => "passphrase",
        ProtectorKind::Vault(_) => "password",
        _ => "protector",
    };
    let label = match format::printable(protector.label.as_bytes()) {
        label if label.is_empty() => String::new(),
        label => format!(" ({label})"),
    };
    let place = vault::pair_of(protector)
        .map_or_else(String::new, |pair| format!(" at {}", format::printable(vault::host_of(&pair).as_bytes())));
    format!("{kind} {}{label}{place}", protector.id)
}

/// What the new key protects, and what it cannot.
fn tell_what_it_means(
    kept: &[String],
    dropped: &[String],
    invocation: &Invocation,
    output: &mut Output,
) -> io::Result<()> {
    for (names, what) in [(kept, "leads to the new key as well"), (dropped, "opens this repository no more")] {
        for name in names {
            output.text(format_args!("{name} {what}\n"))?;
        }
    }
    output.text(
        "the old recovery key opens this repository no more, but copies of it from before: keep it if you keep such a copy, \
         else cross it out\n",
    )?;
    output.text("what is backed up from now on can be read with the new key alone\n")?;
    output.text("what was stored before stays readable for whoever has the old key and can get at the storage\n")?;
    output.text(format_args!("\nnext, on each of your other devices:\n  {}\n", invocation.command("recover")))
}

fn tell_flaws(rotated: Rotated) -> Result<(), Failure> {
    let (passing, refused): (Vec<_>, Vec<_>) = rotated.unconfirmed.into_iter().partition(VaultError::is_passing);
    for error in &passing {
        note(format_args!(
            "warning: {}; the password leads to the new key all the same, and the next backup has it confirmed",
            facts(error)
        ));
    }
    if !rotated.undeleted.is_empty() {
        note(format_args!(
            "warning: the storage refuses to delete {}: whoever has the old key can still try the old passphrases there",
            format::count(rotated.undeleted.len() as u64, "older config"),
        ));
    }
    if let Some(error) = refused.into_iter().next() {
        return Err(Failure {
            meaning: "the new key holds all the same, but the password at that vault leads nowhere".to_owned(),
            next: "`key list` shows the password, `key remove ID` removes it, and `key add password` adds one again"
                .to_owned(),
            ..error.into()
        });
    }
    let Some(error) = rotated.flaw else { return Ok(()) };
    Err(Failure {
        meaning: "the new key holds all the same; what is left of the old one may still lie on the storage".to_owned(),
        ..error.into()
    })
}
