//! The program at a terminal, which `script` (util-linux) makes: it asks, and somebody answers.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::world::World;

/// No answer of the program takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run of the program that is being answered.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<String>,
    shown: String,
}

impl World {
    /// Starts a command at a terminal; `None` where there is no `script`.
    pub(crate) fn at_terminal(&self, device: &str, args: &[&str]) -> Option<Terminal> {
        let line = [&[env!("CARGO_BIN_EXE_hushkeep")], args].concat().join(" ");
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
        self.set(&mut command, device);
        let mut child = match command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => {
                println!("skipped: no terminal can be made: {error}");
                return None;
            }
        };
        let (keyboard, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(len @ 1..) = output.read(&mut buffer) {
                let text = String::from_utf8_lossy(buffer.get(..len).unwrap()).replace('\r', "");
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Some(Terminal { child, keyboard, screen, shown: String::new() })
    }
}

impl Terminal {
    /// Waits until this is asked, and types the answer.
    pub(crate) fn answer(mut self, question: &str, answer: &str) -> Self {
        while !self.shown.trim_end().ends_with(question) {
            match self.screen.recv_timeout(PATIENCE) {
                Ok(text) => self.shown.push_str(&text),
                Err(error) => panic!("{question:?} is not asked ({error}):\n{}", self.shown),
            }
        }
        // What is typed may be shown by the terminal; the same question may come again.
        self.shown.push('\n');
        self.keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
        self
    }

    /// Waits until the program ends by itself, with this code; returns all that was shown.
    pub(crate) fn expect(mut self, code: i32) -> String {
        while let Ok(text) = self.screen.recv_timeout(PATIENCE) {
            self.shown.push_str(&text);
        }
        assert_eq!(self.child.wait().unwrap().code(), Some(code), "{}", self.shown);
        self.shown
    }
}
