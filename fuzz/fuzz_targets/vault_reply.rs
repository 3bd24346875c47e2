//! What a vault answers: what is read is written again as it was. The pair in a config: what is written is read again as it
//! was.
#![no_main]

use hushkeep_vault::Pair;
use hushkeep_vault::client::Seen;
use hushkeep_vault::message::{BeginReply, ChangeReply, GuessReply, HistoryReply, LookReply, ProofReply};

macro_rules! one_form {
    ($bytes:expr, $($message:ident),*) => {$(
        if let Ok(message) = $message::decode($bytes) {
            assert_eq!(message.encode(), $bytes);
        }
    )*};
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    one_form!(bytes, BeginReply, ChangeReply, ProofReply, HistoryReply, LookReply, GuessReply, Seen);
    if let Ok(pair) = Pair::decode(bytes) {
        assert_eq!(Pair::decode(&pair.encode()), Ok(pair));
    }
    if let Ok(reply) = HistoryReply::decode(bytes) {
        let seen = reply.since(None).ok().map(|history| history.seen);
        assert!(seen.is_none() || reply.since(seen.as_ref()).is_ok(), "a history leads on from itself");
    }
});
