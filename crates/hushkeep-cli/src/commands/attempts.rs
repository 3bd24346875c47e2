//! `hushkeep attempts`: who tried the password.

use std::io;

use hushkeep::Opened;
use hushkeep::repo::Timestamp;
use hushkeep::vault::{self, Attempts, AttemptsError, EventKind, Https, PastEvent};
use serde_json::json;

use crate::args::OpenArgs;
use crate::failure::{Failure, facts};
use crate::format;
use crate::output::{Output, note};
use crate::session;

pub(crate) fn run(args: &OpenArgs, output: &mut Output) -> Result<(), Failure> {
    let mut opened = session::open(&args.repo, &args.key)?;
    let told = vault::attempts(&mut opened, &Https::new());
    if told.is_empty() {
        output.text("there is no password behind a vault: nobody can guess\n")?;
    }
    let mut failure = None;
    for told in told {
        let attempts = match &told.attempts {
            Ok(attempts) => attempts,
            Err(_) => {
                // The others are told first.
                failure = failure.or(told.attempts.err());
                continue;
            }
        };
        for event in &attempts.events {
            output.object("event", object(attempts, event))?;
        }
        let summary = json!({
            "protector": attempts.protector.to_string(),
            "vault": attempts.host,
            "guesses_left": attempts.left,
            "new": attempts.new,
            "untold": attempts.untold,
        });
        output.object("attempts", summary)?;
        tell(attempts, output)?;
        vault::mark_seen(&opened, attempts)?;
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn tell(attempts: &Attempts, output: &mut Output) -> io::Result<()> {
    let Attempts { protector, host, left, .. } = attempts;
    let guesses = format::guesses(*left);
    output.text(format_args!("password {protector}, at {host}: {guesses} left\n"))?;
    let first_new = attempts.events.len().saturating_sub(attempts.new);
    let rows = attempts.events.iter().enumerate().map(|(place, event)| row(event, place >= first_new));
    output.text(format::table(["NUMBER", "TIME", "WHAT", ""], rows))?;
    if attempts.untold > 0 {
        let events = format::count(attempts.untold, "event");
        note(format_args!("warning: {events} more happened, of which the vault tells nothing any more"));
    }
    Ok(())
}

fn row(event: &PastEvent, is_new: bool) -> [String; 4] {
    let new = if is_new { "new" } else { "" };
    [event.number.to_string(), format::time(time(event)), what(event.kind), new.to_owned()]
}

fn object(attempts: &Attempts, event: &PastEvent) -> serde_json::Value {
    json!({
        "protector": attempts.protector.to_string(),
        "number": event.number,
        "time": format::time_utc(time(event)),
        "what": code(event.kind),
    })
}

fn time(event: &PastEvent) -> Timestamp {
    Timestamp { seconds: event.time, nanos: 0 }
}

/// As programs read it.
fn code(kind: EventKind) -> String {
    match kind {
        EventKind::Staged => "registered".to_owned(),
        EventKind::Committed => "committed".to_owned(),
        EventKind::Guessed => "guessed".to_owned(),
        EventKind::Right => "right".to_owned(),
        EventKind::Destroyed => "destroyed".to_owned(),
        EventKind::Unknown(kind) => format!("unknown-{kind}"),
    }
}

fn what(kind: EventKind) -> String {
    match kind {
        EventKind::Staged => "a password was registered".to_owned(),
        EventKind::Committed => "it became the one that holds".to_owned(),
        EventKind::Guessed => "somebody guessed".to_owned(),
        EventKind::Right => "the guess was right".to_owned(),
        EventKind::Destroyed => "all guesses were spent".to_owned(),
        EventKind::Unknown(kind) => format!("something that this version does not know ({kind})"),
    }
}

/// Looks whether somebody guessed since this device last looked, if that is long ago. A vault that cannot be reached is looked
/// at with the next backup; what is wrong otherwise its owner is told once a week. Only a vault that goes back or loses the
/// record ends the run as failed.
pub(crate) fn look_now_and_then(opened: &mut Opened) -> Result<(), Failure> {
    if !vault::is_look_due(opened) {
        return Ok(());
    }
    let mut failure = None;
    for told in vault::attempts(opened, &Https::new()) {
        let host = format::printable(told.host.as_bytes());
        match &told.attempts {
            Ok(attempts) => {
                warn(attempts);
                vault::mark_seen(opened, attempts)?;
            }
            Err(AttemptsError::Vault(error)) if error.is_passing() => {
                note(format_args!("note: the vault at {host} does not answer; it is asked again with the next backup"));
            }
            Err(AttemptsError::AnotherHistory { .. } | AttemptsError::Lost { .. }) => {
                failure = failure.or(told.attempts.err());
            }
            Err(error) => {
                note(format_args!("warning: {}; run \"attempts\" to see what that means", facts(error)));
                vault::put_off_look(opened, &told);
            }
        }
    }
    let Some(error) = failure else { return Ok(()) };
    let failure = Failure::from(error);
    Err(Failure { meaning: format!("the snapshot was made; {}", failure.meaning), ..failure })
}

/// Warns of guesses, and of a password that leads nowhere any more.
fn warn(attempts: &Attempts) {
    let (host, guesses) = (&attempts.host, format::guesses(attempts.left));
    if attempts.left == 0 {
        note(format_args!(
            "warning: all guesses at your password at {host} are spent: it leads to the key no more. remove it \
             (\"key list\" shows its id, \"key remove ID\" removes it), and add one again"
        ));
    } else if has_strange_guess(attempts) {
        note(format_args!(
            "warning: somebody guessed at your password at {host}; {guesses} left. if that was not you, on this device or \
             another, change it with \"key passwd\", which gives all guesses back; \"attempts\" shows when it was"
        ));
    }
}

/// Whether there is a guess among what is new.
fn has_strange_guess(attempts: &Attempts) -> bool {
    let new = attempts.events.iter().rev().take(attempts.new);
    attempts.untold > 0 || new.clone().any(|event| event.kind == EventKind::Guessed)
}
