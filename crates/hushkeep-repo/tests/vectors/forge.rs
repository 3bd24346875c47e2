//! Seals objects of any contents, right or wrong, into a repository in memory.

use std::collections::BTreeMap;

use hushkeep_core::Secret;
use hushkeep_core::keys::{BackupKey, Epoch, EpochKeys, ObjectKind};
use hushkeep_core::name::RepositoryId;
use hushkeep_core::seal::{self, Opener, Parts, Sealer, TAG_LEN};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use crate::parts::*;

/// A repository being forged. Everything that is random comes from its name.
pub(crate) struct Repo {
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    pub(crate) id: RepositoryId,
    /// The epoch whose key the owner has.
    pub(crate) owner_epoch: u32,
    /// Whether all epochs have the key of the first, as no writer does.
    pub(crate) has_one_key: bool,
    /// What a device remembers, if that matters.
    pub(crate) memory: Option<Value>,
    /// The ids of the snapshots and of the commits that were published.
    pub(crate) snapshots: Vec<[u8; 16]>,
    pub(crate) commits: Vec<[u8; 16]>,
    /// What all commits say together, and the config that they name.
    pub(crate) tables: Tables,
    pub(crate) named_config: (u64, [u8; 16]),
    /// The name lists that packs introduced, encoded.
    pub(crate) name_lists: BTreeMap<[u8; 16], Vec<u8>>,
    seed: blake3::Hash,
    rng: ChaCha20Rng,
}

/// What an index object says of a pack (spec §9.1).
#[derive(Debug, Clone)]
pub(crate) struct PackInfo {
    pub(crate) id: [u8; 16],
    pub(crate) epoch: u64,
    pub(crate) salt: [u8; 32],
    pub(crate) len: u64,
    pub(crate) table: Vec<u8>,
    pub(crate) list_digest: [u8; 16],
}

/// A segment of a pack: its class and coding, what is sealed, the length of its contents, and which they are.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) tag: u8,
    pub(crate) plaintext: Vec<u8>,
    pub(crate) len: usize,
    pub(crate) stretches: Vec<[u64; 3]>,
}

/// A commit (spec §11.1).
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) file: String,
    pub(crate) number: u64,
    pub(crate) parents: Vec<([u8; 16], String)>,
    pub(crate) action: u64,
    pub(crate) config: (u64, [u8; 16]),
    pub(crate) older: Vec<u8>,
    pub(crate) growth: [u64; 3],
    pub(crate) tables: Tables,
}

impl Commit {
    pub(crate) fn fields(&self) -> Vec<Field> {
        let parents = self.parents.iter().flat_map(|(id, file)| [id.to_vec(), string(file.as_bytes())].concat());
        let time = [signed(1_700_000_000 + i64::try_from(self.number).unwrap()), varint(7)].concat();
        let mut fields = vec![integer(1, self.number), critical(2, parents.collect::<Vec<u8>>()), critical(3, time)];
        fields.extend([integer(4, self.action), integer(5, self.config.0), critical(6, self.older.clone())]);
        fields.extend((7..).zip(self.growth).map(|(number, value)| integer(number, value)));
        fields.extend((10..).zip(0..4).map(|(number, table)| critical(number, self.tables.encode(table))));
        fields.extend([critical(14, self.config.1), critical(15, self.file.as_bytes())]);
        if !self.tables.0[LATER].is_empty() {
            fields.push(ignorable(16, self.tables.encode(LATER)));
        }
        fields
    }
}

impl PackInfo {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let head = [self.id.to_vec(), varint(self.epoch), self.salt.to_vec(), varint(self.len)].concat();
        [head, string(&self.table)].concat()
    }

    /// The row that a commit has of a pack (spec §11.2); `since` is told if it is not live.
    pub(crate) fn row(&self, status: u8, since: Option<u64>) -> Vec<u8> {
        let digest = digest("hushkeep/1 pack", &self.encode());
        let since = since.map(varint).unwrap_or_default();
        [vec![status], varint(self.len), digest.to_vec(), self.list_digest.to_vec(), since].concat()
    }
}

impl Repo {
    pub(crate) fn new(name: &str) -> Self {
        let seed = blake3::hash(name.as_bytes());
        let mut rng = ChaCha20Rng::from_seed(*seed.as_bytes());
        let id = RepositoryId::generate(&mut rng);
        Self {
            objects: BTreeMap::new(),
            id,
            owner_epoch: 0,
            has_one_key: false,
            memory: None,
            snapshots: Vec::new(),
            commits: Vec::new(),
            tables: Tables::default(),
            named_config: (0, [0; 16]),
            name_lists: BTreeMap::new(),
            seed,
            rng,
        }
    }

    /// A generator of its own, for what is sealed elsewhere.
    pub(crate) fn fork(&mut self) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(self.rng.next_u64())
    }

    /// The backup key of an epoch.
    pub(crate) fn key(&self, epoch: u32) -> BackupKey {
        let epoch = if self.has_one_key { 0 } else { epoch };
        let key = blake3::keyed_hash(self.seed.as_bytes(), &epoch.to_le_bytes());
        BackupKey::from_secret(Secret::from_slice(key.as_bytes()).unwrap())
    }

    pub(crate) fn keys(&self, epoch: u32) -> EpochKeys {
        self.key(epoch).epoch_secret(&self.id, Epoch(epoch)).working_keys(self.id)
    }

    /// The secrets of the epochs before one (spec §3.6).
    pub(crate) fn older(&self, epoch: u32) -> Vec<u8> {
        let secret = |older: u32| self.key(older).epoch_secret(&self.id, Epoch(older)).expose().to_vec();
        (0..epoch).flat_map(|older| [varint(u64::from(older)), secret(older)].concat()).collect()
    }

    /// Seals an object of a single segment, padded to no least length.
    pub(crate) fn put_single(&mut self, name: &str, epoch: u32, kind: ObjectKind, clear: Vec<u8>, plaintext: &[u8]) {
        let object = seal::seal_single(&self.keys(epoch), kind, clear, plaintext, 0, &mut self.rng);
        self.objects.insert(name.to_owned(), object);
    }

    /// Seals a commit's body; returns its id.
    pub(crate) fn put_commit(&mut self, file: &str, epoch: u32, body: &[u8]) -> [u8; 16] {
        let coded = [vec![0], body.to_vec()].concat();
        self.put_single(&format!("commits/{file}"), epoch, ObjectKind::Commit, Vec::new(), &coded);
        self.commits.push(commit_id(body));
        commit_id(body)
    }

    /// Seals an index object's body; returns its row (spec §11.2).
    pub(crate) fn put_index(&mut self, id: [u8; 16], epoch: u32, level: u64, body: &[u8]) -> Vec<u8> {
        let name = format!("index/{}", hex(&id));
        self.put_single(&name, epoch, ObjectKind::Index, Vec::new(), &[vec![0], body.to_vec()].concat());
        self.index_row(&name, level, body)
    }

    pub(crate) fn index_row(&self, name: &str, level: u64, body: &[u8]) -> Vec<u8> {
        let len = self.objects[name].len() as u64;
        [vec![0], varint(level), varint(len), digest("hushkeep/1 index", body).to_vec()].concat()
    }

    /// Seals a config; returns its digest (spec §12.1).
    pub(crate) fn put_config(&mut self, file: &str, epoch: u32, clear: &[Field], body: &[Field]) -> [u8; 16] {
        let (clear, body) = (record(clear), record(body));
        self.put_single(&format!("config/{file}"), epoch, ObjectKind::Config, clear.clone(), &body);
        digest("hushkeep/1 config", &[string(&clear), string(&body)].concat())
    }

    /// The two parts of a config whose only protector is the recovery key.
    pub(crate) fn config(&self, number: u64, epoch: u32) -> (Vec<Field>, Vec<Field>) {
        let protector = record(&[critical(1, [7; 4]), integer(2, 1), critical(3, [])]);
        let check = *self.keys(epoch).check().as_bytes();
        let clear = vec![integer(1, 1), critical(2, check), critical(3, string(&protector))];
        let label = [string(b"on paper"), signed(1_700_000_000), varint(0)].concat();
        (clear, vec![integer(1, number), critical(2, label), critical(3, self.older(epoch))])
    }

    /// Seals a pack of these segments; returns what an index object says of it. `lists` are named by the segments'
    /// stretches; the names are among the segments. `edit` may change the encoded table.
    pub(crate) fn put_pack(
        &mut self,
        id: [u8; 16],
        epoch: u32,
        lists: &[ListRow],
        segments: &[Segment],
        edit: impl FnOnce(&mut Table) -> Vec<u8>,
    ) -> PackInfo {
        let mut sealer = Sealer::new(&self.keys(epoch), ObjectKind::Pack, Vec::new(), &mut self.rng);
        let salt = sealer.header().salt;
        let mut table = Table { lists: lists.to_vec(), segments: Vec::new() };
        for Segment { tag, plaintext, len, stretches } in segments {
            let sealed_len = sealer.seal_segment(plaintext) as u64;
            let (tag, len, stretches) = (*tag, *len as u64, stretches.clone());
            if tag == 2 {
                self.name_lists.insert(id, plaintext.clone());
            }
            table.segments.push(SegmentRow { tag, sealed_len, len, stretches });
        }
        let table = edit(&mut table);
        let object = sealer.finish(&table, 0);
        let len = object.len() as u64;
        self.objects.insert(format!("packs/{}", hex(&id)), object);
        let own = lists.iter().find(|list| list.id == id);
        let list_digest = own.map(|list| list.digest).unwrap_or_default();
        PackInfo { id, epoch: u64::from(epoch), salt, len, table, list_digest }
    }

    /// The name list of these contents, named under the keys of an epoch.
    pub(crate) fn names(&self, epoch: u32, contents: &[Vec<u8>]) -> Names {
        let keys = self.keys(epoch);
        let runs = contents.chunk_by(|a, b| a.len() == b.len()).map(|run| [run[0].len() as u64, run.len() as u64]);
        let names = contents.iter().map(|content| *keys.names().name(content).as_bytes());
        Names { count: contents.len() as u64, runs: runs.collect(), names: names.collect() }
    }

    /// A sealer under the salt that an object has, at the segment with this number. Sealing two plaintexts under one salt
    /// is what no writer may do (spec §2.1), and the only way here to an end of an object that no writer makes.
    fn sealer_again(&self, name: &str, kind: ObjectKind, segment: u64) -> Sealer {
        let salt = self.objects[name][32..64].to_vec();
        let mut sealer = Sealer::new(&self.keys(0), kind, Vec::new(), &mut Drawn(salt));
        for _ in 0..segment {
            sealer.seal_segment(&[]);
        }
        sealer
    }

    /// The padding's length, the table, and where padding and trailer begin.
    pub(crate) fn end_of(&self, name: &str, kind: ObjectKind) -> (usize, Vec<u8>, [usize; 2]) {
        let object = &self.objects[name];
        let parts = Parts::split(object).unwrap();
        let opener = Opener::new(&self.keys(0), kind, &parts.header).unwrap();
        let (pad_len, table) = opener.open_trailer(parts.trailer).unwrap();
        let trailer_at = object.len() - 4 - parts.trailer.len();
        (pad_len, table, [trailer_at - pad_len - TAG_LEN, trailer_at])
    }

    /// Pads an object of so many segments with ones, well sealed.
    pub(crate) fn pad_with_ones(&mut self, name: &str, kind: ObjectKind, segments: u64) {
        let (pad_len, _, [padding_at, trailer_at]) = self.end_of(name, kind);
        assert!(pad_len > 0, "{name} has no padding");
        let mut sealer = self.sealer_again(name, kind, segments);
        let begin = sealer.sealed_len();
        sealer.seal_segment(&vec![1; pad_len]);
        let padding = sealer.finish(&[], 0)[begin..][..pad_len + TAG_LEN].to_vec();
        self.objects.get_mut(name).unwrap()[padding_at..trailer_at].copy_from_slice(&padding);
    }

    /// Has the trailer tell another length of the padding, well sealed.
    pub(crate) fn tell_other_padding(&mut self, name: &str, kind: ObjectKind) {
        let (_, table, [_, trailer_at]) = self.end_of(name, kind);
        let least = 2 * self.objects[name].len();
        let other = self.sealer_again(name, kind, 0).finish(&table, least);
        let object = self.objects.get_mut(name).unwrap();
        let trailer_len = object.len() - trailer_at;
        object[trailer_at..].copy_from_slice(&other[other.len() - trailer_len..]);
    }

    /// Seals an object of a single segment with a table, which it should not have.
    pub(crate) fn put_with_table(&mut self, name: &str, kind: ObjectKind, plaintext: &[u8]) {
        let mut sealer = Sealer::new(&self.keys(0), kind, Vec::new(), &mut self.rng);
        sealer.seal_segment(plaintext);
        self.objects.insert(name.to_owned(), sealer.finish(b"a table", 0));
    }

    /// Opens an object of a single segment.
    pub(crate) fn open_single(&self, name: &str, kind: ObjectKind) -> Vec<u8> {
        seal::open_single(&self.keys(0), kind, &self.objects[name]).unwrap().to_vec()
    }
}

pub(crate) fn commit_id(body: &[u8]) -> [u8; 16] {
    digest("hushkeep/1 commit id", body)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Stands for the random generator: gives out one salt.
struct Drawn(Vec<u8>);

impl rand_core::TryRng for Drawn {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        panic!("only bytes are drawn");
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        panic!("only bytes are drawn");
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.iter_mut().for_each(|byte| *byte = self.0.remove(0));
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Drawn {}
