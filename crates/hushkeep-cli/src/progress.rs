//! How far a long command has come: a bar at a terminal, now and then a line elsewhere, objects for programs.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hushkeep::repo::{Progress, RelPath};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::args::VerbosityArgs;
use crate::format;
use crate::output::{json_line, note};

/// How long it takes until the first plain line, and from one to the next.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// How long it takes from one status object to the next.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Shows the progress of one command.
pub(crate) struct Meter {
    display: Display,
    verbose: bool,
    started: Instant,
    /// When the last line was written.
    told: Mutex<Instant>,
    files: AtomicU64,
    bytes: AtomicU64,
    transferred: AtomicU64,
    total_files: AtomicU64,
    total_bytes: AtomicU64,
}

enum Display {
    Nothing,
    Bar(ProgressBar),
    Lines,
    Objects,
}

impl Meter {
    /// A meter as the owner wants it. Reading progress from a bar needs a terminal.
    pub(crate) fn new(json: bool, verbosity: &VerbosityArgs) -> Self {
        let display = match () {
            () if verbosity.quiet => Display::Nothing,
            () if json => Display::Objects,
            () if io::stderr().is_terminal() => Display::Bar(bar()),
            () => Display::Lines,
        };
        let (started, zero) = (Instant::now(), || AtomicU64::new(0));
        Self {
            display,
            verbose: verbosity.verbose,
            started,
            told: Mutex::new(started),
            files: zero(),
            bytes: zero(),
            transferred: zero(),
            total_files: zero(),
            total_bytes: zero(),
        }
    }

    /// Whether somebody looks at a bar: then it is worth finding out how much there is to do.
    pub(crate) fn is_watched(&self) -> bool {
        matches!(self.display, Display::Bar(_))
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }

    /// Calls `tell` if this long has passed since it was last called.
    fn every(&self, pause: Duration, tell: impl FnOnce()) {
        // Whoever finds another thread telling has nothing to add.
        let Ok(mut told) = self.told.try_lock() else { return };
        if told.elapsed() >= pause {
            *told = Instant::now();
            tell();
        }
    }

    fn tell_line(&self) {
        let (bytes, total) = (self.bytes.load(Ordering::Relaxed), self.total_bytes.load(Ordering::Relaxed));
        let of = if total > 0 { format!(" of {}", format::size(total)) } else { String::new() };
        let files = format::count(self.files.load(Ordering::Relaxed), "file");
        let stored = format::size(self.transferred.load(Ordering::Relaxed));
        note(format_args!("{files}, {}{of}; {stored} to or from the storage", format::size(bytes)));
    }

    fn tell_object(&self) {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let known = |counter: &AtomicU64| Some(number(counter)).filter(|total| *total > 0);
        let mut object = json!({
            "seconds_elapsed": self.started.elapsed().as_secs(),
            "files_done": number(&self.files),
            "files_total": known(&self.total_files),
            "bytes_done": number(&self.bytes),
            "bytes_total": known(&self.total_bytes),
            "bytes_transferred": number(&self.transferred),
        });
        let _ = io::stdout().lock().write_all(json_line("status", &mut object).as_bytes());
    }
}

impl Progress for Meter {
    fn total(&self, files: u64, bytes: u64) {
        self.total_files.store(files, Ordering::Relaxed);
        self.total_bytes.store(bytes, Ordering::Relaxed);
        if let Display::Bar(bar) = &self.display {
            bar.set_style(style(
                "{bar:24} {percent:>3}%  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left",
            ));
            bar.set_length(bytes);
        }
    }

    fn item(&self, path: &RelPath) {
        match &self.display {
            Display::Bar(bar) if self.verbose => bar.suspend(|| note(path)),
            _ if self.verbose => note(path),
            _ => {}
        }
    }

    fn advance(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        match &self.display {
            Display::Nothing => {}
            Display::Bar(bar) => bar.inc(bytes),
            Display::Lines => self.every(LINE_EVERY, || self.tell_line()),
            Display::Objects => self.every(STATUS_EVERY, || self.tell_object()),
        }
    }

    fn transferred(&self, bytes: u64) {
        self.transferred.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A bar of which the end is not known yet.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    bar.set_style(style("{spinner} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}"));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_templates_are_understood() {
        for template in
            ["{bar:24} {percent:>3}%  {binary_bytes} of {binary_total_bytes}  {eta} left", "{spinner} {elapsed}"]
        {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn lines_are_rare() {
        let verbosity = VerbosityArgs { quiet: false, verbose: false };
        let meter = Meter::new(true, &verbosity);
        let mut told = 0;
        (0..1000).for_each(|_| meter.every(Duration::from_secs(60), || told += 1));
        assert_eq!(told, 0);
        meter.every(Duration::ZERO, || told += 1);
        assert_eq!(told, 1);
    }
}
