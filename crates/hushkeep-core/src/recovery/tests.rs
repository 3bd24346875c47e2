use proptest::prelude::*;

use super::*;

fn backup_key(bytes: [u8; 32]) -> BackupKey {
    BackupKey::from_secret(Secret::build(|own| *own = bytes))
}

fn sample() -> BackupKey {
    backup_key(std::array::from_fn(|i| (i * i * 73 + i * 41 + 5).to_le_bytes()[0]))
}

fn sample_text() -> String {
    RecoveryKey::from_backup_key(&sample()).to_text().to_string()
}

fn exact(text: &str) -> BackupKey {
    match RecoveryKey::parse(text) {
        Ok(Parsed::Exact(key)) => key,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn with_group(text: &str, index: usize, group: &str) -> String {
    let mut groups: Vec<_> = text.split(' ').collect();
    groups[index] = group;
    groups.join(" ")
}

#[test]
fn the_text_is_18_groups_of_four() {
    let key = RecoveryKey::from_backup_key(&sample());
    assert_eq!(
        key.to_text().as_str(),
        "0577 7b11 39f3 3f1d 8d8f 2349 014b 2795 9527 4b01 4923 8f8d 1d3f f339 117b 7705 cc29 ac49"
    );
    assert_eq!(key.to_lines().lines().map(|line| line.split(' ').count()).collect::<Vec<_>>(), [6, 6, 6]);
    assert_eq!(key.to_lines().replace('\n', " "), *key.to_text());
}

#[test]
fn every_usual_way_of_writing_is_read() {
    let text = sample_text();
    let digits = text.replace(' ', "");
    let forms = [
        text.to_uppercase(),
        text.replace(' ', "-"),
        text.replace(' ', " – \u{2010}\u{2212}\u{a0}"),
        text.replace(' ', ",\r\n\t"),
        format!("\u{feff}{text}\n"),
        text.replace('0', "O").replace('1', "l"),
        text.replace('0', "o").replace('1', "I"),
        text.replacen('1', "i", 2).replace('1', "L"),
        digits.as_bytes().chunks(3).map(|three| std::str::from_utf8(three).unwrap()).collect::<Vec<_>>().join(" "),
        digits,
    ];
    for form in forms {
        assert!(exact(&form).ct_eq(&sample()), "{form:?}");
    }
}

#[test]
fn one_wrong_group_is_named_and_repaired() {
    let text = sample_text();
    for (index, right) in text.split(' ').enumerate() {
        for wrong in ["0000", "ffff", "8b6d"] {
            let Ok(Parsed::Repaired(repair)) = RecoveryKey::parse(&with_group(&text, index, wrong)) else {
                panic!("group {index} as {wrong}");
            };
            assert_eq!((repair.group(), repair.correct_group().as_str()), (index + 1, right));
            assert!(repair.into_unproven_key().ct_eq(&sample()));
        }
    }
}

#[test]
fn errors_say_where() {
    use RecoveryKeyError::*;
    let text = sample_text();
    let cases = [
        (String::new(), WrongLength { found: 0 }),
        (text[..84].to_owned(), WrongLength { found: 68 }),
        (text[..79].to_owned(), ChecksMissing),
        (with_group(&text, 6, "14b"), UnevenGroup { group: 7, found: 3 }),
        (with_group(&text, 6, "0014b"), UnevenGroup { group: 7, found: 5 }),
        (format!("{text} 0000"), WrongLength { found: 76 }),
        // Eighteen groups and an uneven one more: it may be the one too many.
        (format!("{text} 000"), WrongLength { found: 75 }),
        // Two separators have no group between them.
        (with_group(&text, 6, "14b").replace(' ', " - "), UnevenGroup { group: 7, found: 3 }),
        (with_group(&text, 4, "8dS9"), NotADigit { group: 5, digit: 3 }),
        (with_group(&text, 17, "éc49"), NotADigit { group: 18, digit: 1 }),
        (with_group(&with_group(&text, 2, "0000"), 3, "0000"), ManyWrongGroups),
    ];
    for (text, error) in cases {
        match RecoveryKey::parse(&text) {
            Err(found) => assert_eq!(found, error, "{text}"),
            Ok(parsed) => panic!("{text}: {parsed:?}"),
        }
    }
}

#[test]
fn debug_shows_no_digit() {
    let whole = RecoveryKey::parse(&sample_text()).unwrap();
    let repaired = RecoveryKey::parse(&with_group(&sample_text(), 0, "ffff")).unwrap();
    assert_eq!(format!("{whole:?}"), "Exact(BackupKey(Secret<32>(..)))");
    assert_eq!(format!("{repaired:?}"), "Repaired(Repair { index: 0, recovery_key: RecoveryKey(Secret<36>(..)) })");
}

#[test]
fn the_qr_code_holds_the_digits() {
    let key = RecoveryKey::from_backup_key(&sample());
    let upper = key.to_text().replace(' ', "").to_uppercase();
    assert_eq!(*key.to_qr(), *qr::render(&upper));
}

proptest! {
    #[test]
    fn keys_round_trip(bytes: [u8; 32]) {
        let key = backup_key(bytes);
        prop_assert!(exact(&RecoveryKey::from_backup_key(&key).to_text()).ct_eq(&key));
    }

    #[test]
    fn two_wrong_groups_are_never_taken_for_a_whole_key(
        bytes: [u8; 32], first in 0usize..18, distance in 1usize..18, errors: (u16, u16),
    ) {
        prop_assume!(errors.0 != 0 && errors.1 != 0);
        let whole = RecoveryKey::from_backup_key(&backup_key(bytes));
        let wrong = whole
            .corrected(first, errors.0.to_be_bytes())
            .corrected((first + distance) % 18, errors.1.to_be_bytes());
        let exact = matches!(RecoveryKey::parse(&wrong.to_text()), Ok(Parsed::Exact(_)));
        prop_assert!(!exact);
    }

    #[test]
    fn any_text_is_read_without_panic(text: String) {
        let _ = RecoveryKey::parse(&text);
    }
}
