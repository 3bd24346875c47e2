//! What comes from the network: whatever it is, it is refused with a code, and costs no guess unless one could have been
//! evaluated.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use common::*;
use hushkeep::vault::VaultAddress;
use hushkeep_vault::Pair;
use hushkeep_vault::message::{GuessReply, LookReply};
use hushkeep_vault::request::PATHS;

fn left(vault: &VaultAddress, pair: &Pair) -> u8 {
    let reply = post(vault, "/v1/look", &pair.look().encode()).unwrap();
    LookReply::decode(&answered(&reply)).unwrap().left()
}

/// The code of a refusal.
fn code(vault: &VaultAddress, path: &str, message: &[u8]) -> (u16, String) {
    let reply = post(vault, path, message).unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    (reply.status, problem["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn what_is_no_request_is_refused_with_a_code_and_costs_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let served = Served::start(&folder(&parent), &[]);
    let (vault, mut owner) = (&served.address, Owner::new());
    owner.register(vault).unwrap();
    let pair = owner.pair.clone().unwrap();
    let guess = guess(&pair, "not the password");
    for path in PATHS {
        for len in [0, 1, guess.len() - 1, guess.len() + 1, 4000] {
            let message: Vec<u8> = guess.iter().copied().chain(std::iter::repeat(7)).take(len).collect();
            assert_eq!(code(vault, path, &message), (400, "malformed".to_owned()), "{path} {len}");
        }
        if path != "/v1/guess" {
            assert_eq!(code(vault, path, &guess), (400, "malformed".to_owned()), "{path}");
        }
        assert_eq!(code(vault, path, &vec![1; 5000]), (413, "too-large".to_owned()), "{path}");
    }
    assert_eq!(code(vault, "/v2/guess", &guess), (404, "no-such-path".to_owned()));
    // The last 96 bytes are OPAQUE's: of elements, the identity and what is none are refused.
    for element in [[0; 32], [0xff; 32]] {
        let mut changed = guess.clone();
        let ke1 = changed.len() - 96;
        changed[ke1..ke1 + 32].copy_from_slice(&element);
        assert_eq!(code(vault, "/v1/guess", &changed), (400, "malformed".to_owned()));
    }
    for (place, expected) in [
        (1, (421, "another-vault")),
        (33, (404, "no-record")),
        (66, (409, "no-such-password")),
        (82, (409, "changed-parameters")),
    ] {
        let mut changed = guess.clone();
        changed[place] ^= 1;
        assert_eq!(code(vault, "/v1/guess", &changed), (expected.0, expected.1.to_owned()), "{place}");
    }
    assert_eq!(left(vault, &pair), 10);
    let other = Owner::new();
    for (path, message) in [
        ("/v1/history", pair.history(&other.update_key(vault)).encode()),
        ("/v1/delete", pair.delete(&other.update_key(vault)).encode()),
        ("/v1/commit", pair.commit(&other.update_key(vault)).encode()),
    ] {
        assert_eq!(code(vault, path, &message), (403, "not-the-owner".to_owned()), "{path}");
    }
}

#[test]
fn a_guess_that_is_sent_again_is_answered_again_for_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let served = Served::start(&folder(&parent), &[]);
    let (vault, mut owner) = (&served.address, Owner::new());
    owner.register(vault).unwrap();
    let pair = owner.pair.clone().unwrap();
    let message = guess(&pair, "not the password");
    let answers: Vec<_> =
        (0..3).map(|_| GuessReply::decode(&answered(&post(vault, "/v1/guess", &message).unwrap())).unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.answers() == answers[0].answers()));
    assert_eq!(left(vault, &pair), 9);
    for _ in 0..2 {
        answered(&post(vault, "/v1/guess", &guess(&pair, "nor this")).unwrap());
    }
    let reply = post(vault, "/v1/guess", &guess(&pair, "nor that")).unwrap();
    assert!(reply.status == 429 && matches!(reply.retry_after, Some(50..=60)), "the fourth has to wait: {reply:?}");
}

/// Who stands between has a key of his own, and no certificate for the host.
#[test]
fn another_vault_at_the_same_address_is_not_spoken_to() {
    let parent = tempfile::tempdir().unwrap();
    let served = Served::start(&folder(&parent), &[]);
    let address = served.address.to_string();
    let (base, key) = address.split_once('#').unwrap();
    let other = format!("{base}#{}", key.replace(|c: char| c.is_ascii_digit(), "a"));
    let refused = post(&other.parse().unwrap(), "/v1/look", &[]).unwrap_err();
    assert!(matches!(refused, hushkeep::vault::TransportError::NotTheVault(_)), "{refused:?}");
}

#[test]
fn the_log_tells_what_happened_and_nothing_of_who_asked() {
    let parent = tempfile::tempdir().unwrap();
    let served = Served::start(&folder(&parent), &["--requests-a-minute", "60"]);
    let (vault, mut owner) = (&served.address, Owner::new());
    owner.register(vault).unwrap();
    let pair = owner.pair.clone().unwrap();
    answered(&post(vault, "/v1/guess", &guess(&pair, "not the password")).unwrap());
    assert_eq!(code(vault, "/v1/look?of=the-owner", &[]).0, 400);
    assert_eq!(code(vault, "/the-owner", &[]).0, 404);
    assert!(served.end());
    let log = std::fs::read_to_string(folder(&parent).with_extension("log")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let paths: Vec<_> = lines.iter().filter_map(|line| line["fields"]["path"].as_str()).collect();
    assert_eq!(paths, ["/v1/begin", "/v1/stage", "/v1/commit", "/v1/guess", "/v1/look", "other"]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for secret in
        [pair.record().to_string(), hex(owner.locator.as_bytes()), "127.0.0.1".to_owned(), "the-owner".to_owned()]
    {
        assert!(!log.contains(&secret), "{secret}: {log}");
    }
}

#[test]
fn who_asks_too_often_is_told_to_slow_down() {
    let parent = tempfile::tempdir().unwrap();
    let served = Served::start(&folder(&parent), &["--requests-a-minute", "3"]);
    let codes: Vec<_> = (0..4).map(|_| code(&served.address, "/v1/look", &[]).1).collect();
    assert_eq!(codes, ["malformed", "malformed", "malformed", "slow-down"]);
}
