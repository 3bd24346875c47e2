//! Repositories with one defect each.

mod commits;
mod configs;
mod encodings;
mod entries;
mod indexes;
mod lists;
mod maps;
mod objects;
mod packs;
mod rollback;

use serde_json::json;

use crate::expected::{self, Vector};
use crate::sample::{ALL, Edit, HURT, SECOND_FILE, build};

pub(crate) fn all() -> Vec<Vector> {
    let groups = [
        encodings::all(),
        objects::all(),
        packs::all(),
        indexes::all(),
        lists::all(),
        entries::all(),
        maps::all(),
        commits::all(),
        configs::all(),
        rollback::all(),
    ];
    groups.into_iter().flatten().map(Invalid::vector).collect()
}

/// A repository with one defect, and what a reader makes of it.
pub(crate) struct Invalid {
    name: &'static str,
    class: &'static str,
    object: Option<String>,
    lost: Lost,
    comment: &'static str,
    edits: Vec<Edit>,
}

/// What a reader that goes on past damage does not give.
#[derive(Clone, Copy)]
pub(crate) enum Lost {
    /// The whole repository: it is not opened.
    Repository,
    /// All of the source `hurt`, or the newer of the two snapshots.
    Source,
    /// These files.
    Files(&'static [&'static str]),
    /// Everything but these files and links.
    AllBut(&'static [&'static str]),
    /// Only who reads every object whole sees the defect.
    Nothing,
}

/// A defect in the pack of `hurt` or in its contents.
pub(crate) fn in_pack(name: &'static str, lost: Lost, comment: &'static str, edit: Edit) -> Invalid {
    let object = Some(expected::object("packs", &HURT));
    Invalid { name, class: "damaged", object, lost, comment, edits: vec![edit] }
}

/// A defect in the second commit. The first one is still there.
pub(crate) fn in_commit(name: &'static str, comment: &'static str, edit: Edit) -> Invalid {
    in_pack(name, Lost::Source, comment, edit).named(&second_commit())
}

pub(crate) fn second_commit() -> String {
    format!("commits/{SECOND_FILE}")
}

impl Invalid {
    /// It is this object that has the defect.
    pub(crate) fn named(self, object: &str) -> Self {
        Self { object: Some(object.to_owned()), ..self }
    }

    /// No single object is to blame.
    pub(crate) fn nameless(self) -> Self {
        Self { object: None, ..self }
    }

    /// The repository is not opened.
    pub(crate) fn refused(self, class: &'static str) -> Self {
        Self { class, lost: Lost::Repository, ..self }
    }

    /// What is refused is newer.
    pub(crate) fn newer(self) -> Self {
        Self { class: "newer", ..self }
    }

    pub(crate) fn and(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    fn vector(self) -> Vector {
        let mut still = ALL.to_vec();
        if let Lost::AllBut(files) = self.lost {
            still = files.to_vec();
        }
        let is_given = |path: &&str| match self.lost {
            Lost::Repository | Lost::Source => !path.starts_with("hurt/"),
            Lost::Files(files) => !files.contains(path),
            Lost::Nothing | Lost::AllBut(_) => true,
        };
        still.retain(is_given);
        let still = if matches!(self.lost, Lost::Repository) { json!(null) } else { json!(still) };
        let expected = json!({ "class": self.class, "object": self.object, "still_restores": still,
            "comment": self.comment });
        Vector::forged(self.name, build(self.name, &self.edits), expected)
    }
}
