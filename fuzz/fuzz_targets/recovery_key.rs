//! The text of a recovery key: one wrong group is repaired to a whole key, and what is whole is written as it was read.
#![no_main]

use hushkeep_core::recovery::{Parsed, RecoveryKey};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match RecoveryKey::parse(text) {
        Ok(Parsed::Exact(key)) => {
            let written = RecoveryKey::from_backup_key(&key);
            for again in [written.to_text(), written.to_lines()] {
                assert!(matches!(RecoveryKey::parse(&again), Ok(Parsed::Exact(same)) if same.ct_eq(&key)));
            }
            assert_eq!(digits(text), digits(&written.to_text()));
        }
        Ok(Parsed::Repaired(repair)) => {
            let (group, correct) = (repair.group(), repair.correct_group());
            let written = RecoveryKey::from_backup_key(&repair.into_unproven_key()).to_text();
            let (read, written) = (digits(text), digits(&written));
            let groups = || (1..).zip(read.chunks(4).zip(written.chunks(4)));
            assert!(groups().all(|(number, (read, written))| (read == written) != (number == group)));
            assert!(groups().any(|(number, (_, written))| number == group && written == digits(&correct)));
        }
        Err(error) => drop(error.to_string()),
    }
});

/// The digits as they are meant: without what stands between them, in lower case.
fn digits(text: &str) -> Vec<char> {
    let meant = text.to_ascii_lowercase().replace('o', "0").replace(['i', 'l'], "1");
    meant.chars().filter(char::is_ascii_hexdigit).collect()
}
