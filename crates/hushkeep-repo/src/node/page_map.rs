//! Page maps: which content each page of a SQLite file has (spec §10.5).

use std::collections::HashMap;

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, Record, RecordWriter, WireError, put_signed, put_varint};

use super::entry::is_page_size;
use super::{Chain, decode_ids, encode_ids};
use crate::index::Index;
use crate::refs::{ContentRef, ListNo};

/// The pages of one SQLite file, in order. The last may be shorter than the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageMap {
    pub(crate) page_size: u32,
    /// The file's length in bytes.
    pub(crate) len: u64,
    pub(crate) pages: Vec<ContentRef>,
}

/// A page map as one node, read but not yet applied to its base.
#[derive(Debug)]
pub(crate) struct PageMapNode {
    pub(crate) chain: Chain,
    page_size: u32,
    len: u64,
    edits: Vec<Edit>,
}

/// `count` pages from `page` on have the contents from `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edit {
    page: u32,
    start: ContentRef,
    count: u32,
}

impl PageMap {
    /// Writes the map as a node: whole, or what differs from `base` (spec §10.5). `None` if a page's list is
    /// not in the index, which a map made by this program never says.
    pub(crate) fn encode(&self, chain: &Chain, base: Option<&Self>, index: &Index) -> Option<Vec<u8>> {
        let unchanged = |page: usize| base.is_some_and(|base| base.pages.get(page) == self.pages.get(page));
        let edits = self.edits(unchanged);
        let mut lists = ListTable::default();
        let mut out = Vec::new();
        let mut next_page = 0;
        for edit in &edits {
            put_varint(&mut out, u64::from(edit.page - next_page));
            next_page = edit.page + edit.count;
            lists.write_run(edit, index, &mut out)?;
        }
        let mut record = RecordWriter::new();
        chain.write(&mut record);
        record.critical_int(5, u64::from(self.page_size)).critical_int(6, self.len);
        record.critical(7, encode_ids(&lists.ids)).critical(8, out);
        Some(record.finish())
    }

    fn edits(&self, unchanged: impl Fn(usize) -> bool) -> Vec<Edit> {
        let mut edits: Vec<Edit> = Vec::new();
        for (page, chunk) in self.pages.iter().enumerate() {
            if unchanged(page) {
                continue;
            }
            let page = u32::try_from(page).unwrap_or(u32::MAX);
            match edits.last_mut() {
                Some(last) if last.page + last.count == page && last.start.plus(last.count) == Some(*chunk) => {
                    last.count += 1;
                }
                _ => edits.push(Edit { page, start: *chunk, count: 1 }),
            }
        }
        edits
    }
}

impl PageMapNode {
    /// Reads a node (spec §10.5).
    pub(crate) fn decode(bytes: &[u8], index: &Index) -> Result<Self, WireError> {
        let record = Record::parse(bytes, 8)?;
        let chain = Chain::read(&record)?;
        let page_size = u32::try_from(record.int(5)?).map_err(|_| WireError::Range)?;
        let len = record.int(6)?;
        if !is_page_size(page_size) {
            return Err(WireError::Range);
        }
        let pages = u32::try_from(len.div_ceil(u64::from(page_size))).map_err(|_| WireError::Range)?;
        let lists: Vec<ListNo> = decode_ids(record.required(7)?)?
            .iter()
            .map(|id| index.list(id).ok_or(WireError::Range))
            .collect::<Result<_, _>>()?;
        let edits = decode_edits(record.required(8)?, &lists, pages, index)?;
        Ok(Self { chain, page_size, len, edits })
    }

    /// The whole map. A delta wants the map it is based on.
    pub(crate) fn apply(&self, base: Option<PageMap>) -> Result<PageMap, WireError> {
        if base.as_ref().is_some_and(|base| base.page_size != self.page_size) {
            return Err(WireError::Range);
        }
        let mut pages = base.map(|base| base.pages).unwrap_or_default();
        let count = usize::try_from(self.len.div_ceil(u64::from(self.page_size))).map_err(|_| WireError::Range)?;
        pages.truncate(count);
        for edit in &self.edits {
            let page = edit.page as usize;
            for offset in 0..edit.count {
                let chunk = edit.start.plus(offset).ok_or(WireError::Range)?;
                let page = page + offset as usize;
                if page == pages.len() {
                    pages.push(chunk);
                } else {
                    *pages.get_mut(page).ok_or(WireError::Range)? = chunk;
                }
            }
        }
        if pages.len() != count {
            return Err(WireError::Range);
        }
        Ok(PageMap { page_size: self.page_size, len: self.len, pages })
    }
}

fn decode_edits(bytes: &[u8], lists: &[ListNo], pages: u32, index: &Index) -> Result<Vec<Edit>, WireError> {
    let mut reader = Reader::new(bytes);
    let mut expected = vec![0i64; lists.len()];
    let mut edits = Vec::new();
    let mut next_page = 0u32;
    while !reader.is_empty() {
        let page = next_page.checked_add(reader.varint_u32()?).ok_or(WireError::Range)?;
        let number = reader.varint_u32()? as usize;
        let list = *lists.get(number).ok_or(WireError::Range)?;
        let expected = expected.get_mut(number).ok_or(WireError::Range)?;
        let position = expected.checked_add(reader.signed()?).and_then(|position| u32::try_from(position).ok());
        let start = ContentRef { list, position: position.ok_or(WireError::Range)? };
        let count = reader.varint_u32()?;
        next_page = page.checked_add(count).filter(|next| *next <= pages && count > 0).ok_or(WireError::Range)?;
        let last = start.plus(count - 1).ok_or(WireError::Range)?;
        if index.locate(start).is_none() || index.locate(last).is_none() {
            return Err(WireError::Range);
        }
        *expected = i64::from(last.position) + 1;
        edits.push(Edit { page, start, count });
    }
    Ok(edits)
}

/// Numbers the lists of a node as they appear, and remembers where in each the last run ended.
#[derive(Default)]
struct ListTable {
    ids: Vec<ObjectId>,
    known: HashMap<ListNo, (u32, i64)>,
}

impl ListTable {
    /// Writes a list's number, the distance of the run's start from where that list's last run ended, and the count.
    fn write_run(&mut self, edit: &Edit, index: &Index, out: &mut Vec<u8>) -> Option<()> {
        if !self.known.contains_key(&edit.start.list) {
            let number = u32::try_from(self.ids.len()).ok()?;
            self.ids.push(index.list_name(edit.start.list)?.0);
            self.known.insert(edit.start.list, (number, 0));
        }
        let (number, expected) = self.known.get_mut(&edit.start.list)?;
        put_varint(out, u64::from(*number));
        put_signed(out, i64::from(edit.start.position) - *expected);
        put_varint(out, u64::from(edit.count));
        *expected = i64::from(edit.start.position) + i64::from(edit.count);
        Some(())
    }
}

#[cfg(test)]
mod tests;
