//! Ctrl-C: the program may be stopped at any point, and says so.

use std::io::Write;

use crate::failure::Exit;
use crate::output::json_line;
use crate::terminal::Settings;

const MESSAGE: &str = "interrupted; the repository is safe, the next run resumes";

/// From now on, Ctrl-C ends the program with a line and its exit code.
pub(crate) fn install(json: bool) {
    // A prompt that does not show what is typed may be what is interrupted.
    let terminal = Settings::remember();
    let end = move || {
        terminal.restore();
        if json {
            let mut object = serde_json::json!({ "exit_code": Exit::Interrupted.code(), "message": MESSAGE });
            let _ = std::io::stdout().lock().write_all(json_line("error", &mut object).as_bytes());
        } else {
            let _ = writeln!(std::io::stderr(), "\n{MESSAGE}");
        }
        std::process::exit(i32::from(Exit::Interrupted.code()));
    };
    // Without a handler Ctrl-C ends the program as well, only without the line.
    let _ = ctrlc::set_handler(end);
}
