use super::*;
use crate::growth::Growth;

fn id(byte: u8) -> CommitId {
    CommitId::from_bytes([byte; 16])
}

fn tip(byte: u8, epoch: u32, starts: &[CommitId]) -> Tip {
    let commit = Commit {
        name: numbered_name(Folder::Commits, u64::from(byte), None),
        number: u64::from(byte),
        parents: Vec::new(),
        time: Timestamp::EPOCH,
        action: Action::Backup,
        config: ConfigName::default(),
        older_epochs: OlderEpochs::from_bytes(&[]),
        growth: Growth::default(),
        epoch_starts: starts.to_vec(),
    };
    let (epoch, tables) = (Epoch(epoch), Tables::default());
    Tip { id: id(byte), epoch, commit, len: 0, tables, full: Ok(epoch), mended: Vec::new() }
}

fn starts(tips: Vec<Tip>, epoch: u32) -> Vec<CommitId> {
    History { tips, ..History::default() }.epoch_starts(Epoch(epoch))
}

#[test]
fn a_commit_names_the_first_of_every_epoch_that_any_tip_knows() {
    let none = CommitId::NONE;
    assert_eq!(starts(vec![], 0), []);
    assert_eq!(starts(vec![tip(1, 0, &[])], 0), []);
    assert_eq!(starts(vec![tip(1, 0, &[])], 1), [], "it begins the epoch 1");
    assert_eq!(starts(vec![tip(2, 1, &[])], 1), [id(2)], "the tip began it");
    assert_eq!(starts(vec![tip(3, 1, &[id(2)])], 2), [id(2)]);
    assert_eq!(starts(vec![tip(4, 2, &[id(2)]), tip(1, 0, &[])], 2), [id(2), id(4)]);
    assert_eq!(starts(vec![tip(9, 2, &[none]), tip(8, 2, &[id(2), id(4)])], 2), [id(2), id(9)], "the first tip counts");
    assert_eq!(starts(vec![tip(1, 0, &[])], 3), [none, none], "of two epochs nothing is left");
}

#[test]
fn the_newest_config_is_one_of_the_newest_epoch() {
    let named = |number, mut tip: Tip| {
        tip.commit.config.number = number;
        tip
    };
    let tips = vec![named(2, tip(4, 1, &[id(3)])), named(9, tip(2, 0, &[]))];
    assert_eq!(History { epoch: Epoch(1), tips, ..History::default() }.config().number, 2);
}

/// A tip that could not be proven keeps the time at which it was seen; the others were seen now.
#[test]
fn a_device_remembers_of_each_tip_when_it_saw_it() {
    let (old, now) = (Timestamp { seconds: 5, nanos: 0 }, Timestamp { seconds: 9, nanos: 0 });
    let unproven = Parent { id: id(7), name: numbered_name(Folder::Commits, 7, None) };
    let earlier = SeenTips(vec![SeenTip { commit: unproven.clone(), time: old }]);
    let history = History { tips: vec![tip(8, 0, &[])], unproven: vec![unproven], ..History::default() };
    let seen = history.seen_since(&earlier, now);
    assert_eq!(seen.0.iter().map(|tip| (tip.commit.id, tip.time)).collect::<Vec<_>>(), [(id(8), now), (id(7), old)]);
    assert_eq!(seen.names_since(now, 4).count(), 1, "the other was seen long ago");
}
