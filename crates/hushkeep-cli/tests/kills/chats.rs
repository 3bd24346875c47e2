//! Chats that change, and say in every line whose they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fastrand::Rng;

/// Every file below a folder, by its path there, with its contents and the time it was last changed.
pub(crate) type Contents = BTreeMap<PathBuf, (Vec<u8>, SystemTime)>;

/// A folder with chats.
pub(crate) struct Chats {
    folder: PathBuf,
    random: Rng,
    /// 16 characters that are nowhere else in the world: every name, line and message begins with them.
    pub(crate) brand: String,
}

const FEWEST_FILES: usize = 4;
const MOST_FILES: usize = 12;
const MESSAGES_KEPT: usize = 200;

impl Chats {
    pub(crate) fn new(folder: PathBuf, mut random: Rng) -> Self {
        let brand = (0..16).map(|_| random.alphanumeric()).collect();
        fs::create_dir_all(folder.join("Media")).unwrap();
        let mut chats = Self { folder, random, brand };
        for _ in 0..FEWEST_FILES {
            chats.add_file();
        }
        chats.add_messages();
        chats
    }

    pub(crate) fn contents(&self) -> Contents {
        contents(&self.folder)
    }

    /// Lets a day pass: files come, change and go, and so do messages.
    pub(crate) fn change(&mut self) {
        for _ in 0..self.random.usize(1..5) {
            let files = self.files();
            let file = files[self.random.usize(..files.len())].clone();
            match self.random.u8(..4) {
                0 | 1 if files.len() < MOST_FILES => self.add_file(),
                2 => fs::write(&file, [fs::read(&file).unwrap(), self.text()].concat()).unwrap(),
                _ if files.len() > FEWEST_FILES => fs::remove_file(&file).unwrap(),
                _ => fs::write(&file, self.text()).unwrap(),
            }
        }
        if self.random.bool() {
            self.add_messages();
        }
    }

    /// Adds a small file that stays for some time.
    pub(crate) fn add_note(&mut self) {
        let (name, text) = (self.marker(), self.marker());
        fs::write(self.folder.join(name), text).unwrap();
    }

    /// A string that is nowhere else, of 32 bytes.
    fn marker(&mut self) -> String {
        let rest: String = (0..16).map(|_| self.random.alphanumeric()).collect();
        format!("{}{rest}", self.brand)
    }

    fn text(&mut self) -> Vec<u8> {
        (0..self.random.usize(1..200)).flat_map(|_| (self.marker() + "\n").into_bytes()).collect()
    }

    fn add_file(&mut self) {
        let place = if self.random.bool() { "." } else { "Media" };
        let path = self.folder.join(place).join(self.marker());
        let mut bytes = self.text();
        // Media that cannot be compressed, now and then as long as many pieces.
        if self.random.bool() {
            let len = if self.random.u8(..6) == 0 { 3_000_000 } else { self.random.usize(..200_000) };
            let mut noise = vec![0; len];
            self.random.fill(&mut noise);
            bytes.extend(noise);
        }
        fs::write(path, bytes).unwrap();
    }

    fn add_messages(&mut self) {
        let messages: Vec<String> = (0..self.random.usize(1..40)).map(|_| self.marker()).collect();
        testkit::database::add_messages(&self.folder.join("msgstore.db"), &messages, MESSAGES_KEPT).unwrap();
    }

    /// The files beside the database, in a fixed order.
    fn files(&self) -> Vec<PathBuf> {
        let all = self.contents().into_keys().filter(|path| path.as_os_str() != "msgstore.db");
        all.map(|path| self.folder.join(path)).collect()
    }
}

pub(crate) fn contents(folder: &Path) -> Contents {
    let mut found = Contents::new();
    for path in files(folder) {
        let entry = (fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap());
        found.insert(path.strip_prefix(folder).unwrap().to_owned(), entry);
    }
    found
}

/// Every file below a folder, which need not exist.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(self::files(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}
