use hushkeep_core::wire::WireError;

use super::*;
use crate::growth::Growth;

fn id(byte: u8) -> CommitId {
    CommitId::from_bytes([byte; 16])
}

fn tip(byte: u8, epoch: u32) -> Tip {
    let commit = Commit {
        name: numbered_name(Folder::Commits, u64::from(byte), None),
        number: u64::from(byte),
        parents: Vec::new(),
        time: Timestamp::EPOCH,
        action: Action::Backup,
        config: ConfigName::default(),
        older_epochs: OlderEpochs::from_bytes(&[]),
        growth: Growth::default(),
    };
    let (epoch, tables) = (Epoch(epoch), Tables::default());
    Tip { id: id(byte), epoch, commit, len: 0, tables, full: Ok(epoch), mended: Vec::new() }
}

/// The ids of the commits that tables know.
fn commits(tables: &Tables) -> Vec<CommitId> {
    tables.commits().map(|(_, id)| id).collect()
}

#[test]
fn rows_of_commits_are_forgotten_by_name_and_where_others_have_none() {
    let with = |bytes: &[u8]| {
        let mut tables = Tables::default();
        bytes.iter().for_each(|byte| {
            tables.insert_commit(&id(*byte), &numbered_name(Folder::Commits, u64::from(*byte), None));
        });
        tables
    };
    let mut tables = with(&[1, 2, 3]);
    let second = numbered_name(Folder::Commits, 2, None);
    tables.remove_commits(|_, file| file == second.file());
    assert_eq!(commits(&tables), [id(1), id(3)]);
    tables.keep_commits_of(&with(&[2, 3]));
    assert_eq!(commits(&tables), [id(3)]);
}

#[test]
fn a_delta_has_a_parent_to_be_one_of() {
    let mut commit = tip(1, 0).commit;
    commit.growth = Growth::default().next(100).unwrap();
    assert_eq!(Commit::decode(&commit.encode(&Tables::default())).err(), Some(WireError::Range));
    commit.parents.push(Parent { id: id(7), name: numbered_name(Folder::Commits, 7, None) });
    assert!(Commit::decode(&commit.encode(&Tables::default())).is_ok());
}

#[test]
fn the_newest_config_is_one_of_the_newest_epoch() {
    let named = |number, mut tip: Tip| {
        tip.commit.config.number = number;
        tip
    };
    let tips = vec![named(2, tip(4, 1)), named(9, tip(2, 0))];
    assert_eq!(History { epoch: Epoch(1), tips, ..History::default() }.config().number, 2);
}

/// A tip that could not be proven keeps the time at which it was seen; the others were seen now.
#[test]
fn a_device_remembers_of_each_tip_when_it_saw_it() {
    let (old, now) = (Timestamp { seconds: 5, nanos: 0 }, Timestamp { seconds: 9, nanos: 0 });
    let unproven = Parent { id: id(7), name: numbered_name(Folder::Commits, 7, None) };
    let earlier = SeenTips(vec![SeenTip { commit: unproven.clone(), time: old }]);
    let history = History { tips: vec![tip(8, 0)], unproven: vec![unproven], ..History::default() };
    let seen = history.seen_since(&earlier, now);
    assert_eq!(seen.0.iter().map(|tip| (tip.commit.id, tip.time)).collect::<Vec<_>>(), [(id(8), now), (id(7), old)]);
    assert_eq!(seen.names_since(now, 4).count(), 1, "the other was seen long ago");
    assert_eq!(seen.names_since(now, 5).count(), 2);
}
