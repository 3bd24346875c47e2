//! Showing a new recovery key: to a person only, never to a log.

use std::io::{self, IsTerminal};
use std::path::Path;

use hushkeep::core::recovery::RecoveryKey;

use crate::invocation::Invocation;
use crate::output::{Output, note};

/// Whether a new recovery key is shown.
pub(crate) fn is_shown(output: &Output) -> bool {
    !output.is_json() && io::stderr().is_terminal()
}

/// Shows a new recovery key, if there is somebody to see it.
pub(crate) fn show(recovery_key: &RecoveryKey, output: &Output) {
    if is_shown(output) {
        note(format_args!("\nits recovery key is\n\n{}\n", *recovery_key.to_lines()));
        note("write it down and keep it away from this device: whoever has it can read the backup,");
        note("and without it a lost device is a lost backup\n");
    }
}

/// Where a new recovery key is now.
pub(crate) fn whereabouts(in_file: Option<&Path>, on_device: bool, invocation: &Invocation, output: &Output) -> String {
    let show = invocation.command("key show");
    match in_file {
        Some(path) => format!("in {}; move it away from this device", path.display()),
        None if !on_device => "shown above, and kept nowhere else".to_owned(),
        None if is_shown(output) => format!("shown above; to see it again, run \"{show}\""),
        None => format!("run \"{show}\" and write it down"),
    }
}
