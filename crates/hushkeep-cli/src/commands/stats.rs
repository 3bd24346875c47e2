//! `hushkeep stats`: how much is stored.

use hushkeep::repo::FolderStats;
use serde_json::json;

use crate::args::OpenArgs;
use crate::failure::Failure;
use crate::format;
use crate::output::Output;
use crate::session;

pub(crate) fn run(args: &OpenArgs, output: &mut Output) -> Result<(), Failure> {
    let opened = session::open(&args.repo, &args.key)?;
    let stats = opened.repository.stats()?;
    let objects = stats.folders.iter().map(|folder| folder.objects).sum();
    let bytes = stats.folders.iter().map(|folder| folder.bytes).sum();
    let folder =
        |folder: &FolderStats| json!({ "folder": folder.name, "objects": folder.objects, "bytes": folder.bytes });
    output.object(
        "summary",
        json!({
            "snapshots": stats.snapshots,
            "contents": stats.contents,
            "contents_bytes": stats.contents_bytes,
            "objects": objects,
            "bytes": bytes,
            "stored_bytes": stats.stored_bytes,
            "folders": stats.folders.iter().map(folder).collect::<Vec<_>>(),
        }),
    )?;
    output.text(format_args!("{}\n", format::count(stats.snapshots, "snapshot")))?;
    let contents = format::count(stats.contents, "piece");
    let (raw, stored) = (format::size(stats.contents_bytes), format::size(stats.stored_bytes));
    output.text(format_args!("contents, each counted once: {contents}, {raw}, compressed to {stored}\n"))?;
    output.text(format_args!("on the storage: {}, {}\n", format::count(objects, "object"), format::size(bytes)))?;
    for FolderStats { name, objects, bytes } in &stats.folders {
        output.text(format_args!("  {name}: {}, {}\n", format::count(*objects, "object"), format::size(*bytes)))?;
    }
    Ok(())
}
