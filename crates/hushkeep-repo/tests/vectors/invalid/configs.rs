//! Defects of configs (spec §12, §3.6), and of which config holds.

use hushkeep_core::name::RepositoryId;

use super::{Invalid, Lost, in_commit, in_pack, second_commit};
use crate::forge::{Commit, Repo};
use crate::parts::*;
use crate::sample::*;

pub(super) fn all() -> Vec<Invalid> {
    [clear_parts(), bodies(), which_holds(), copies(), keys(), replaced_keys(), later_epochs(), newer()]
        .into_iter()
        .flatten()
        .collect()
}

fn name() -> String {
    format!("config/{CONFIG_FILE}")
}

/// The only config has a defect.
fn refused(name: &'static str, comment: &'static str, edit: Edit) -> Invalid {
    in_commit(name, comment, edit).refused("damaged").named(&self::name())
}

fn protector(fields: &[Field]) -> Vec<u8> {
    string(&record(fields))
}

fn clear_parts() -> Vec<Invalid> {
    let clear = |name, comment, edit| refused(name, comment, Edit::Clear(edit));
    vec![
        clear("config-clear-field-missing", "the clear part lacks its field 3 (§12.2, §1.3)", |clear| {
            clear.pop();
        }),
        clear("config-key-check-of-15-bytes", "a field has the wrong length (§12.2, §1.3)", |clear| {
            value(clear, 2).pop();
        }),
        clear("config-protectors-cut-short", "the protectors end inside one (§12.2, §1.2)", |clear| {
            value(clear, 3).pop();
        }),
        clear("config-protector-id-of-3-bytes", "a field has the wrong length (§12.2, §1.3)", |clear| {
            *value(clear, 3) = protector(&[critical(1, [7; 3]), integer(2, 1), critical(3, [])]);
        }),
        clear("config-protector-field-missing", "a protector lacks its field 3 (§12.2, §1.3)", |clear| {
            *value(clear, 3) = protector(&[critical(1, [7; 4]), integer(2, 1)]);
        }),
        clear("config-recovery-key-with-data", "a recovery key has data (§12.2)", |clear| {
            *value(clear, 3) = protector(&[critical(1, [7; 4]), integer(2, 1), critical(3, [0])]);
        }),
        clear("config-of-33-protectors", "33 protectors (§12.2)", |clear| {
            let protectors = (0..33).flat_map(|id| protector(&[critical(1, [id; 4]), integer(2, 1), critical(3, [])]));
            *value(clear, 3) = protectors.collect();
        })
        .and(Edit::Config(|body| *value(body, 2) = value(body, 2).repeat(33))),
        clear("config-two-protectors-of-one-id", "two protectors have one id (§12.2)", |clear| {
            let again = value(clear, 3).clone();
            value(clear, 3).extend(again);
        })
        .and(Edit::Config(|body| {
            let again = value(body, 2).clone();
            value(body, 2).extend(again);
        })),
    ]
}

fn bodies() -> Vec<Invalid> {
    let body = |name, comment, edit| refused(name, comment, Edit::Config(edit));
    vec![
        body("config-number", "a config has another number than its name (§12.3)", |body| *value(body, 1) = varint(2)),
        refused(
            "config-number-zero",
            "the number 0, which a commit names (§12.3)",
            Edit::After(|repo| {
                repo.objects.remove(&name());
                let (clear, body) = repo.config(0, 0);
                repo.named_config = (0, repo.put_config("0000000000-5eed5eed", 0, &clear, &body));
                put_third_commit(repo, 0, |_| {});
            }),
        )
        .named("config/0000000000-5eed5eed"),
        body("config-labels-too-few", "no label for the only protector (§12.3)", |body| value(body, 2).clear()),
        body("config-labels-too-many", "two labels for the only protector (§12.3)", |body| {
            let again = value(body, 2).clone();
            value(body, 2).extend(again);
        }),
        body("config-label-not-utf-8", "a label is not UTF-8 (§12.3, §1.2)", |body| {
            *value(body, 2) = [string(&[0xff]), signed(1_700_000_000), varint(0)].concat();
        }),
        body("config-label-nanoseconds", "1,000,000,000 nanoseconds (§12.3)", |body| {
            *value(body, 2) = [string(b"on paper"), signed(1_700_000_000), varint(1_000_000_000)].concat();
        }),
        body("config-field-missing", "a config lacks its field 3 (§12.3, §1.3)", |body| {
            body.pop();
        }),
        body("config-epoch-not-before-its-own", "a config of epoch 0 carries a secret of epoch 0 (§3.6)", |body| {
            *value(body, 3) = vec![0; 33];
        }),
        body("config-epoch-secret-cut-short", "a config carries 10 bytes of a secret (§3.6)", |body| {
            *value(body, 3) = vec![0; 11];
        }),
        refused(
            "config-epochs-not-rising",
            "the config of epoch 1 carries the secret of epoch 0 twice (§3.6)",
            Edit::After(|repo| rotate(repo, [repo.older(1), repo.older(1)].concat(), repo.older(1))),
        )
        .named(&format!("config/{SECOND_CONFIG_FILE}")),
        refused(
            "config-changed",
            "one bit of the only config is flipped (§12.4)",
            Edit::After(|repo| *repo.objects.get_mut(&name()).unwrap().last_mut().unwrap() ^= 1),
        ),
    ]
}

/// Commits tell which config holds (§12.4).
fn which_holds() -> Vec<Invalid> {
    let refused = |name, comment, edit| in_commit(name, comment, edit).refused("damaged").nameless();
    vec![
        refused(
            "config-withheld",
            "a commit names a config of the number 2, which is not there (§12.4)",
            Edit::Commit(|commit| *value(commit, 5) = varint(2)),
        ),
        refused(
            "config-exchanged",
            "a commit names another config of the same number (§12.4)",
            Edit::Commit(|commit| value(commit, 14)[0] ^= 1),
        ),
        in_commit(
            "config-missing",
            "a repository without a config (§12.4)",
            Edit::After(|repo| drop(repo.objects.remove(&name()))),
        )
        .refused("no-repository")
        .nameless(),
    ]
}

fn add_config_of_another_repository(repo: &mut Repo, epoch: u32) {
    let own = std::mem::replace(&mut repo.id, RepositoryId::from_bytes([9; 16]));
    let (clear, body) = repo.config(1, epoch);
    repo.put_config("0000000001-0badcafe", epoch, &clear, &body);
    repo.id = own;
}

/// A config with a defect beside one that holds.
fn copies() -> Vec<Invalid> {
    let beside = |name, object: &str, comment, edit| {
        in_pack(name, Lost::Nothing, comment, Edit::After(edit)).named(&format!("config/{object}"))
    };
    vec![
        beside("config-copy-changed", CONFIG_FILE, "one of two copies of the config is damaged (§12.4)", |repo| {
            let (clear, body) = repo.config(1, 0);
            repo.put_config("0000000001-0badcafe", 0, &clear, &body);
            repo.objects.get_mut(&name()).unwrap()[150] ^= 1;
        }),
        beside("config-copy-cut", "0000000001-ffffffff", "one of two copies has no whole header (§12.4)", |repo| {
            let half = repo.objects[&name()][..100].to_vec();
            repo.objects.insert("config/0000000001-ffffffff".to_owned(), half);
        }),
        beside("config-replayed", SECOND_CONFIG_FILE, "an old config under a newer name (§12.3)", |repo| {
            let old = repo.objects[&name()].clone();
            repo.objects.insert(format!("config/{SECOND_CONFIG_FILE}"), old);
        }),
        beside(
            "config-of-another-repository",
            "0000000001-0badcafe",
            "a config of another repository under the same key; a commit tells which is meant (§12.4)",
            |repo| add_config_of_another_repository(repo, 0),
        ),
        beside(
            "config-copy-of-format-version-2",
            "0000000001-0badcafe",
            "the header of one copy is newer (§12.4)",
            |repo| {
                let (clear, body) = repo.config(1, 0);
                repo.put_config("0000000001-0badcafe", 0, &clear, &body);
                repo.objects.get_mut("config/0000000001-0badcafe").unwrap()[8] = 2;
            },
        ),
        beside(
            "configs-of-others-outvote",
            "0000000002-0badcafe",
            "more configs say that they are of another repository than there are of this one (§12.4)",
            |repo| {
                for number in 2..5 {
                    let mut config = repo.objects[&name()].clone();
                    config[16] ^= 1;
                    repo.objects.insert(format!("config/{number:010}-0badcafe"), config);
                }
            },
        ),
    ]
}

/// The key is not the one (§12.4, §11.4).
fn keys() -> Vec<Invalid> {
    let wrong = |name, comment, edit| in_commit(name, comment, edit).refused("wrong-key").nameless();
    vec![
        wrong(
            "key-of-another-repository",
            "the key is not that of the repository (§12.4)",
            Edit::After(|repo| {
                repo.owner_epoch = 5;
            }),
        ),
        wrong(
            "key-check-of-another-key",
            "the only config has another key check than its key (§12.4)",
            Edit::Clear(|clear| value(clear, 2)[0] ^= 1),
        ),
        wrong(
            "key-of-a-rotation-that-did-not-end",
            "a config of epoch 1 is there, and no commit: the key before still holds (§12.4, §12.5)",
            Edit::After(|repo| {
                put_second_config(repo, 1, |_, _| {});
                repo.owner_epoch = 1;
            }),
        ),
        wrong(
            "key-of-a-rotation-beside-a-damaged-commit",
            "the same, and a commit of epoch 0 is damaged: it says so itself, and does not end the rotation (§12.4)",
            Edit::After(|repo| {
                put_second_config(repo, 1, |_, _| {});
                repo.owner_epoch = 1;
                repo.objects.get_mut(&second_commit()).unwrap()[100] ^= 1;
            }),
        ),
    ]
}

/// The key was replaced, or is one that no rotation draws (§11.4, §12.4).
fn replaced_keys() -> Vec<Invalid> {
    let wrong = |name, comment, edit| in_commit(name, comment, edit).refused("wrong-key").nameless();
    vec![
        wrong(
            "key-from-before-a-rotation",
            "a commit of epoch 1, which a config tells of: the key was changed (§11.4)",
            Edit::After(|repo| {
                rotate_before_the_owner_knows(repo);
            }),
        ),
        wrong(
            "key-from-before-a-rotation-that-is-covered",
            "the same, and a commit of epoch 0 claims to continue that of epoch 1 (§11.4)",
            Edit::After(|repo| {
                rotate_before_the_owner_knows(repo);
                cover_third_commit(repo);
            }),
        ),
        wrong(
            "key-from-before-a-covered-rotation-with-a-damaged-config",
            "the same, and the config that tells of epoch 1 has a clear part that is refused (§11.4)",
            Edit::After(|repo| {
                rotate_before_the_owner_knows(repo);
                put_second_config(repo, 1, |clear, _| value(clear, 2).push(0));
                cover_third_commit(repo);
            }),
        ),
        wrong(
            "key-from-before-what-a-base-may-be",
            "the header of a base has the epoch 1, of which a config tells: it may be a rotation, whoever covers it (§11.4)",
            Edit::After(|repo| {
                put_second_config(repo, 1, |_, _| {});
                repo.objects.get_mut(&format!("commits/{FIRST_FILE}")).unwrap()[12] = 1;
            }),
        ),
        in_commit(
            "key-of-two-epochs",
            "the secret of epoch 0, in the config of epoch 1, is the one that its own key gives (§12.4, §3.1)",
            Edit::After(|repo| {
                repo.has_one_key = true;
                rotate(repo, repo.older(1), repo.older(1));
            }),
        )
        .refused("damaged")
        .named(&format!("config/{SECOND_CONFIG_FILE}")),
        wrong(
            "key-from-before-a-rotation-with-a-damaged-config",
            "the config that tells of epoch 1 has a clear part that is refused; its header tells enough (§11.4)",
            Edit::After(|repo| {
                rotate_before_the_owner_knows(repo);
                put_second_config(repo, 1, |clear, _| value(clear, 2).push(0));
            }),
        ),
    ]
}

/// The key was replaced, and the config of before is still there, as is the owner's key.
fn rotate_before_the_owner_knows(repo: &mut Repo) {
    let old = repo.objects[&name()].clone();
    rotate(repo, repo.older(1), repo.older(1));
    repo.objects.insert(name(), old);
    repo.owner_epoch = 0;
}

/// A commit of epoch 0 claims to continue the third one.
fn cover_third_commit(repo: &mut Repo) {
    let mut tables = repo.tables.clone();
    tables.set(COMMITS, repo.commits[2], commit_row(0, THIRD_FILE));
    let forged = first_commit((1, [0; 16]), tables);
    let forged = Commit { file: "0000000004".to_owned(), number: 4, ..forged };
    repo.put_commit("0000000004", 0, &record(&forged.fields()));
}

/// A later epoch tells that the key was changed only if commit and config are of this repository (§11.4).
fn later_epochs() -> Vec<Invalid> {
    let strange = |name, comment, edit| in_commit(name, comment, Edit::After(edit));
    vec![
        strange(
            "epoch-of-another-repositorys-config",
            "a commit's header has the epoch 1, and only a config of another repository tells of that (§11.4)",
            |repo| {
                add_config_of_another_repository(repo, 1);
                repo.objects.get_mut(&second_commit()).unwrap()[12] = 1;
            },
        ),
        strange(
            "epoch-above-65535",
            "a commit's header has the epoch 65,536, and so has that of a config (§2.1)",
            |repo| {
                put_second_config(repo, 1, |_, _| {});
                for name in [second_commit(), format!("config/{SECOND_CONFIG_FILE}")] {
                    repo.objects.get_mut(&name).unwrap()[12..16].copy_from_slice(&65_536_u32.to_le_bytes());
                }
            },
        ),
        strange(
            "epoch-of-another-repositorys-commit",
            "a commit's header has the epoch 1 and another repository, beside a config of epoch 1 (§11.4, §2.1)",
            |repo| {
                put_second_config(repo, 1, |_, _| {});
                let commit = repo.objects.get_mut(&second_commit()).unwrap();
                commit[12] = 1;
                commit[16] ^= 1;
            },
        ),
    ]
}

/// What is refused as newer stops a reader (§12.4, §14).
fn newer() -> Vec<Invalid> {
    let newer = |name, comment, edit| refused(name, comment, edit).refused("newer");
    vec![
        refused(
            "config-newer-and-out-of-order",
            "behind an unknown critical field of the clear part comes one of a lower number (§1.3, §14)",
            Edit::Clear(|clear| clear.extend([critical(5, "of a later version"), critical(3, "")])),
        ),
        newer(
            "config-reader-version-2",
            "a config for readers of version 2 (§12.2, §14)",
            Edit::Clear(|clear| *value(clear, 1) = varint(2)),
        ),
        newer(
            "config-clear-newer",
            "the clear part has an unknown critical field (§1.3, §14)",
            Edit::Clear(|clear| clear.push(critical(5, "of a later version"))),
        ),
        newer(
            "config-protector-newer",
            "a protector has an unknown critical field (§1.3, §14)",
            Edit::Clear(|clear| {
                let later = critical(4, "of a later version");
                *value(clear, 3) = protector(&[critical(1, [7; 4]), integer(2, 1), critical(3, []), later]);
            }),
        ),
        newer(
            "config-newer",
            "the sealed part has an unknown critical field (§1.3, §14)",
            Edit::Config(|body| body.push(critical(4, "of a later version"))),
        ),
        newer(
            "config-format-version-2",
            "a config of format version 2 (§2.1, §14)",
            Edit::After(|repo| repo.objects.get_mut(&name()).unwrap()[8] = 2),
        ),
        newer(
            "config-newer-beside-an-older",
            "the config that holds has an unknown critical field; an older one is not taken instead (§12.4, §14)",
            Edit::After(|repo| {
                put_second_config(repo, 0, |_, body| body.push(critical(4, "of a later version")));
                put_third_commit(repo, 0, |_| {});
            }),
        )
        .named(&format!("config/{SECOND_CONFIG_FILE}")),
    ]
}
