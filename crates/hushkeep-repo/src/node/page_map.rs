//! Page maps: which content each page of a SQLite file has (spec §10.5).

use std::collections::HashMap;
use std::ops::Range;

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::{Reader, Record, RecordWriter, WireError, put_signed, put_varint};

use super::entry::is_page_size;
use super::{Chain, decode_ids, encode_ids};
use crate::index::Index;
use crate::refs::{ContentRef, ListNo, Run};

/// The pages of one SQLite file, in order. The last may be shorter than the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageMap {
    pub(crate) page_size: u32,
    /// The file's length in bytes.
    pub(crate) len: u64,
    /// From the first page to the last, without gaps. So a map takes no more memory than its nodes, however many
    /// pages they claim.
    runs: Vec<PageRun>,
}

/// A page map as one node, read but not yet applied to its base.
#[derive(Debug)]
pub(crate) struct PageMapNode {
    pub(crate) chain: Chain,
    page_size: u32,
    len: u64,
    /// How many pages the file has.
    count: u32,
    edits: Vec<PageRun>,
}

/// The pages from `page` on have these contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PageRun {
    page: u32,
    contents: Run,
}

impl PageRun {
    fn end(&self) -> u32 {
        self.page.saturating_add(self.contents.count)
    }

    /// The part of the run that lies in `pages`, which must lie in it.
    fn part(&self, pages: Range<u32>) -> Option<Self> {
        let start = self.contents.start.plus(pages.start.checked_sub(self.page)?)?;
        Some(Self { page: pages.start, contents: Run { start, count: pages.end.checked_sub(pages.start)? } })
    }
}

impl PageMap {
    /// The map of a file whose pages have these contents.
    pub(crate) fn new(page_size: u32, len: u64, pages: impl IntoIterator<Item = ContentRef>) -> Self {
        let mut runs = Vec::new();
        for (page, start) in (0..).zip(pages) {
            push(&mut runs, PageRun { page, contents: Run { start, count: 1 } });
        }
        Self { page_size, len, runs }
    }

    /// What the pages have, in order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> {
        self.runs.iter().map(|run| run.contents)
    }

    /// The content of each page.
    pub(crate) fn pages(&self) -> impl Iterator<Item = ContentRef> {
        self.runs().flat_map(Run::contents)
    }

    /// How many pages there are.
    pub(crate) fn count(&self) -> u32 {
        self.runs.last().map_or(0, PageRun::end)
    }

    /// Writes the map as a node: whole, or what differs from `base` (spec §10.5). `None` if a page's list is
    /// not in the index, which a map made by this program never says.
    pub(crate) fn encode(&self, chain: &Chain, base: Option<&Self>, index: &Index) -> Option<Vec<u8>> {
        let mut lists = ListTable::default();
        let mut out = Vec::new();
        let mut next_page = 0;
        for edit in self.edits(base)? {
            put_varint(&mut out, u64::from(edit.page - next_page));
            next_page = edit.end();
            lists.write_run(edit.contents, index, &mut out)?;
        }
        let mut record = RecordWriter::new();
        chain.write(&mut record);
        record.critical_int(5, u64::from(self.page_size)).critical_int(6, self.len);
        record.critical(7, encode_ids(&lists.ids)).critical(8, out);
        Some(record.finish())
    }

    /// The pages whose contents are not those of `base`.
    fn edits(&self, base: Option<&Self>) -> Option<Vec<PageRun>> {
        let mut edits = Vec::new();
        let mut before = base.map_or([].as_slice(), |base| base.runs.as_slice()).iter().peekable();
        for run in &self.runs {
            let mut page = run.page;
            while page < run.end() {
                while before.next_if(|run| run.end() <= page).is_some() {}
                let end = before.peek().map_or(run.end(), |before| before.end().min(run.end()));
                let part = run.part(page..end)?;
                if before.peek().and_then(|before| before.part(page..end)) != Some(part) {
                    push(&mut edits, part);
                }
                page = end;
            }
        }
        Some(edits)
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
        let count = u32::try_from(len.div_ceil(u64::from(page_size))).map_err(|_| WireError::Range)?;
        let lists: Vec<ListNo> = decode_ids(record.required(7)?)?
            .iter()
            .map(|id| index.list(id).ok_or(WireError::Range))
            .collect::<Result<_, _>>()?;
        let edits = decode_edits(record.required(8)?, &lists, count)?;
        Ok(Self { chain, page_size, len, count, edits })
    }

    /// The whole map. A delta wants the map it is based on.
    pub(crate) fn apply(&self, base: Option<PageMap>) -> Result<PageMap, WireError> {
        if base.as_ref().is_some_and(|base| base.page_size != self.page_size) {
            return Err(WireError::Range);
        }
        let base = base.map(|base| base.runs).unwrap_or_default();
        let mut runs = Vec::new();
        let mut next = 0;
        for edit in &self.edits {
            copy(&base, next..edit.page, &mut runs)?;
            push(&mut runs, *edit);
            next = edit.end();
        }
        copy(&base, next..self.count, &mut runs)?;
        Ok(PageMap { page_size: self.page_size, len: self.len, runs })
    }
}

/// Adds a run, as a part of the last one if it continues that.
fn push(runs: &mut Vec<PageRun>, run: PageRun) {
    match runs.last_mut() {
        Some(last)
            if last.end() == run.page && last.contents.start.plus(last.contents.count) == Some(run.contents.start) =>
        {
            last.contents.count += run.contents.count;
        }
        _ => runs.push(run),
    }
}

/// Copies what some pages have. All of them must have something.
fn copy(from: &[PageRun], pages: Range<u32>, to: &mut Vec<PageRun>) -> Result<(), WireError> {
    let mut next = pages.start;
    let first = from.partition_point(|run| run.end() <= next);
    for run in from.get(first..).unwrap_or_default() {
        if next >= pages.end {
            break;
        }
        let end = run.end().min(pages.end);
        push(to, run.part(next..end).ok_or(WireError::Range)?);
        next = end;
    }
    if next < pages.end { Err(WireError::Range) } else { Ok(()) }
}

fn decode_edits(bytes: &[u8], lists: &[ListNo], pages: u32) -> Result<Vec<PageRun>, WireError> {
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
        let end = start.plus(count).ok_or(WireError::Range)?;
        *expected = i64::from(end.position);
        edits.push(PageRun { page, contents: Run { start, count } });
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
    fn write_run(&mut self, run: Run, index: &Index, out: &mut Vec<u8>) -> Option<()> {
        let Run { start, count } = run;
        if !self.known.contains_key(&start.list) {
            let number = u32::try_from(self.ids.len()).ok()?;
            self.ids.push(index.list_id(start.list)?);
            self.known.insert(start.list, (number, 0));
        }
        let (number, expected) = self.known.get_mut(&start.list)?;
        put_varint(out, u64::from(*number));
        put_signed(out, i64::from(start.position) - *expected);
        put_varint(out, u64::from(count));
        *expected = i64::from(start.position) + i64::from(count);
        Some(())
    }
}

/// What is read of a full map, and of a delta upon it, is read again from what it is written as; and however many pages a
/// map claims, it takes no more than its nodes.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_round_trips(full: &[u8], delta: &[u8]) {
    let index = super::announced([(full, 7), (delta, 7)]);
    let read = |bytes: &[u8], base: Option<&PageMap>| {
        let node = PageMapNode::decode(bytes, &index)?;
        let runs = base.map_or(0, |base| base.runs.len()) + 2 * node.edits.len();
        let map = node.apply(base.cloned())?;
        assert!(map.runs.len() <= runs);
        assert_eq!(u64::from(map.count()), map.len.div_ceil(u64::from(map.page_size)));
        Ok::<_, WireError>((node.chain, map))
    };
    let Ok((chain, base)) = read(full, None) else { return };
    let written = base.encode(&chain, None, &index);
    assert_eq!(written.map(|bytes| read(&bytes, None)), Some(Ok((chain, base.clone()))));
    let Ok((chain, map)) = read(delta, Some(&base)) else { return };
    let written = map.encode(&chain, Some(&base), &index);
    assert_eq!(written.map(|bytes| read(&bytes, Some(&base))), Some(Ok((chain, map))));
}

#[cfg(test)]
mod tests;
