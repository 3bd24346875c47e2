//! Ctrl-C: the program may be stopped at any point, and says so.

use std::io::Write;

use crate::failure::Exit;
use crate::output::json_line;

const MESSAGE: &str = "interrupted; the repository is safe, the next run resumes";

/// From now on, Ctrl-C ends the program with a line and its exit code.
pub(crate) fn install(json: bool) {
    let terminal = Terminal::remember();
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

/// How the terminal was set at the beginning: a prompt without echo may be what is interrupted.
#[cfg(unix)]
struct Terminal(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Terminal {
    fn remember() -> Self {
        Self(rustix::termios::tcgetattr(rustix::stdio::stdin()).ok())
    }

    fn restore(&self) {
        if let Some(settings) = &self.0 {
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), rustix::termios::OptionalActions::Now, settings);
        }
    }
}

#[cfg(not(unix))]
struct Terminal;

#[cfg(not(unix))]
impl Terminal {
    fn remember() -> Self {
        Self
    }

    fn restore(&self) {}
}
