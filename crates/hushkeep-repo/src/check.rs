//! Checking: whether everything the snapshots need is there and whole, and whom it hurts where it is not.

mod affected;
mod pack_window;
mod packs;

use std::collections::{HashMap, HashSet};

use hushkeep_core::keys::ObjectKind;
use hushkeep_core::seal::{self, Header};

use crate::config::{ClearConfig, Config, ConfigName};
use crate::contents::read_index;
use crate::error::{Damage, DamageCause, ReadError};
use crate::history::IndexRow;
use crate::objects::{index_name, number_of, pack_name};
use crate::progress::Progress;
use crate::repository::Repository;
use crate::state::StateError;
use crate::storage::{Folder, ObjectInfo, ObjectName};
pub use affected::Affected;
use packs::BadPlaces;

/// How thoroughly to check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckOptions {
    /// The share of all packs to read whole and verify, from 0.0 (only what is listed) to 1.0 (every bit). If it is not
    /// 0.0, each file's length is held against its contents, too; its hash only when it is restored.
    pub read_data: f64,
}

/// What a check found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Objects looked at.
    pub objects: u64,
    /// Bytes of packs read and verified.
    pub bytes_read: u64,
    /// Snapshots walked through.
    pub snapshots: u64,
    /// Objects that no commit names: left by an interrupted backup, harmless.
    pub unreferenced: u64,
    /// What is damaged, and whom it hurts.
    pub findings: Vec<Finding>,
}

/// A damaged object.
#[derive(Debug)]
pub struct Finding {
    /// What is wrong with it.
    pub damage: Damage,
    /// The snapshots that need it. None: it is a config, a commit or an index object, or nothing needs it, or what is needed of
    /// it is whole in another pack, too.
    pub affected: Vec<Affected>,
}

/// A check that could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The storage failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This device's own state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Repository {
    /// Checks every object that the commits name, then walks through every snapshot.
    ///
    /// An error means that the check itself could not go on; damage is a finding. Packs that are found bad are
    /// remembered: the next backup of this device stores anew what they held, as far as it is still there.
    pub fn check(&self, options: &CheckOptions, progress: &dyn Progress) -> Result<CheckReport, CheckError> {
        let mut report = CheckReport::default();
        let mut damage = self.contents.damage.clone();
        damage.extend(self.history.damaged().iter().cloned());
        damage.extend(self.check_configs(&mut report)?);
        damage.extend(self.check_commits(&mut report)?);
        damage.extend(self.check_indexes(&mut report)?);

        let mut bad = self.check_listing(&mut report)?;
        self.read_packs(options, progress, &mut bad, &mut report)?;
        self.note_newer_segments(&mut bad);
        self.find_affected(options.read_data > 0.0, &mut bad, &mut report)?;
        self.note_made_good(&mut bad)?;
        if !self.history.damaged().is_empty() {
            // What no readable commit names may be named by one that is damaged.
            report.unreferenced = 0;
        }
        report.findings.extend(damage.into_iter().map(|damage| Finding { damage, affected: Vec::new() }));
        report.findings.extend(bad.into_findings());
        // The same damage may have come to light in two ways: the one that names whom it hurts comes first and stays.
        report.findings.sort_by_key(|finding| (finding.damage.object.clone(), finding.affected.is_empty()));
        report.findings.dedup_by(|later, first| later.damage == first.damage && later.affected.is_empty());
        Ok(report)
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, ReadError> {
        self.contents.objects.storage.list(folder).map_err(ReadError::Storage)
    }

    /// The objects of a folder that have a number: what has none is none of the repository's.
    fn list_numbered(&self, folder: Folder) -> Result<impl Iterator<Item = (ObjectName, u64)>, ReadError> {
        let numbered = |info: ObjectInfo| number_of(&info.name).map(|number| (info.name, number));
        Ok(self.list(folder)?.into_iter().filter_map(numbered))
    }

    /// Opens every config, every bit of it. One under a key that never came to hold is left by a rotation that did not
    /// end: nothing needs it. But if a copy of it opens under a key that holds, its key check is damaged.
    fn check_configs(&self, report: &mut CheckReport) -> Result<Vec<Damage>, ReadError> {
        let (mut damage, mut opened, mut foreign) = (Vec::new(), HashSet::new(), Vec::new());
        for (name, number) in self.list_numbered(Folder::Config)? {
            report.objects += 1;
            match self.open_config(&name) {
                Ok(true) => drop(opened.insert(number)),
                Ok(false) => foreign.push((name, number)),
                Err(ReadError::Damaged(found)) => damage.push(found),
                Err(error) => return Err(error),
            }
        }
        let (damaged, left): (Vec<_>, Vec<_>) = foreign.into_iter().partition(|(_, number)| opened.contains(number));
        damage.extend(damaged.iter().map(|(name, _)| Damage::new(name, DamageCause::Content)));
        report.unreferenced += left.len() as u64;
        Ok(damage)
    }

    fn check_commits(&self, report: &mut CheckReport) -> Result<Vec<Damage>, ReadError> {
        let mut damage = Vec::new();
        for (name, _) in self.list_numbered(Folder::Commits)? {
            report.objects += 1;
            match self.history.verify(&self.contents.objects, &name) {
                Ok(()) => {}
                Err(ReadError::Damaged(found)) => damage.push(found),
                Err(error) => return Err(error),
            }
        }
        Ok(damage)
    }

    /// Opens a config; false if it is under a key that is none of this repository's.
    fn open_config(&self, name: &ObjectName) -> Result<bool, ReadError> {
        let objects = &self.contents.objects;
        let object = objects.storage.get(name).map_err(|error| ReadError::from_storage(error, name))?;
        let damaged = |cause: DamageCause| ReadError::from(Damage::new(name, cause));
        let (header, _) = Header::parse(&object).map_err(|error| damaged(error.into()))?;
        let Some(keys) = objects.keyring.epoch(header.epoch) else {
            let clear = ClearConfig::decode(&header.clear).map_err(|error| damaged(error.into()))?;
            let is_ours = objects.keyring.epochs().any(|keys| keys.check().matches(&clear.key_check));
            return if is_ours { Err(damaged(DamageCause::UnknownEpoch)) } else { Ok(false) };
        };
        let clear = ClearConfig::decode(&header.clear).map_err(|error| damaged(error.into()))?;
        if header.repository == *keys.repository() && !keys.check().matches(&clear.key_check) {
            return Ok(false);
        }
        let body = seal::open_single(keys, ObjectKind::Config, &object).map_err(|error| damaged(error.into()))?;
        let (config, _) = Config::decode(clear, &body).map_err(|error| damaged(error.into()))?;
        // Another config, or an older one, could be shown in its place.
        let named = ConfigName::of(number_of(name).unwrap_or_default(), &header.clear, &body);
        let is_other =
            named.number != config.number || (named.number == self.config.number && named != self.config_name);
        if is_other { Err(damaged(DamageCause::Content)) } else { Ok(true) }
    }

    /// Compares the index objects that are there with what the commits say of them. Also of those that others have
    /// replaced: what is wrong with one tells of the storage.
    fn check_indexes(&self, report: &mut CheckReport) -> Result<Vec<Damage>, ReadError> {
        let listed = self.list(Folder::Index)?;
        report.objects += listed.len() as u64;
        let rows: HashMap<ObjectName, IndexRow> =
            self.history.tables().all_indexes().map(|row| (index_name(&row.id), row)).collect();
        let mut damage = Vec::new();
        for info in listed {
            let Some(row) = rows.get(&info.name) else {
                report.unreferenced += 1;
                continue;
            };
            match read_index(&self.contents.objects, row) {
                Ok(_) => {}
                Err(ReadError::Damaged(found)) => damage.push(found),
                Err(error) => return Err(error),
            }
        }
        Ok(damage)
    }

    /// Compares the listing of packs with the packs that the commits name.
    fn check_listing(&self, report: &mut CheckReport) -> Result<BadPlaces, ReadError> {
        let mut bad = BadPlaces::default();
        let listed = self.list(Folder::Packs)?;
        report.objects += listed.len() as u64;
        let mut unnamed: HashMap<ObjectName, u64> = listed.into_iter().map(|info| (info.name, info.len)).collect();
        for row in self.history.tables().packs() {
            let name = pack_name(&row.id);
            let cause = match unnamed.remove(&name) {
                None => Some(DamageCause::Missing),
                Some(len) if len != row.len => Some(DamageCause::Length),
                Some(_) => None,
            };
            let number = self.contents.index.pack_number(&row.id);
            if let Some(cause) = cause.or(number.is_none().then_some(DamageCause::UnknownContent)) {
                bad.add_pack(number, Damage::new(&name, cause));
            }
        }
        report.unreferenced += unnamed.len() as u64;
        Ok(bad)
    }
}
