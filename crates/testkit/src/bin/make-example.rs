//! `make-example FOLDER` makes the example in a new or empty folder.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: make-example FOLDER")?;
    testkit::sample::make(Path::new(&folder))?;
    Ok(())
}
