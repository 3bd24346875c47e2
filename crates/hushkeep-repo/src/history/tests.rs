use super::*;

fn id(byte: u8) -> CommitId {
    CommitId::from_bytes([byte; 16])
}

fn tip(byte: u8, epoch: u32, starts: &[CommitId]) -> Tip {
    let commit = Commit {
        number: u64::from(byte),
        parents: Vec::new(),
        time: Timestamp::EPOCH,
        action: Action::Backup,
        config: ConfigName::default(),
        older_epochs: OlderEpochs::from_bytes(&[]),
        growth: Growth::default(),
        epoch_starts: starts.to_vec(),
    };
    let name = numbered_name(Folder::Commits, u64::from(byte), None);
    Tip { id: id(byte), name, epoch: Epoch(epoch), commit, len: 0, tables: Tables::default() }
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
fn no_commit_comes_too_late_for_an_epoch_of_which_the_end_is_not_known() {
    let history = History { tips: vec![tip(4, 2, &[CommitId::NONE])], ..History::default() };
    assert_eq!([0, 1].map(|epoch| history.replaced_at(Epoch(epoch))), [None, None]);
}
