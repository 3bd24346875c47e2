//! Standard output for results, standard error for everything on the way.

use std::fmt;
use std::io::{self, BufWriter, Stdout, Write};

use serde_json::{Map, Value};

use crate::failure::{Exit, Failure};
use crate::invocation::Invocation;

/// Writes results: as text, or as one JSON object a line.
pub(crate) struct Output {
    json: bool,
    out: BufWriter<Stdout>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, out: BufWriter::new(io::stdout()) }
    }

    /// Whether a program reads along.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a result: in its own words, or as an object of this type.
    pub(crate) fn result(&mut self, kind: &str, mut object: Value, text: impl fmt::Display) -> io::Result<()> {
        if self.json {
            self.out.write_all(json_line(kind, &mut object).as_bytes())
        } else {
            writeln!(self.out, "{text}")
        }
    }

    /// Writes an object, for programs only.
    pub(crate) fn object(&mut self, kind: &str, mut object: Value) -> io::Result<()> {
        if self.json { self.out.write_all(json_line(kind, &mut object).as_bytes()) } else { Ok(()) }
    }

    /// Writes text, for people only.
    pub(crate) fn text(&mut self, text: impl fmt::Display) -> io::Result<()> {
        if self.json { Ok(()) } else { write!(self.out, "{text}") }
    }

    /// The raw standard output, for contents of files and the like.
    pub(crate) fn raw(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Sends on what is still held back.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Tells why a command failed.
    pub(crate) fn failure(&mut self, failure: &Failure, invocation: &Invocation) {
        // Results that were found before the failure come first. Neither can be told if the output is closed.
        let _ = self.flush();
        if failure.exit == Exit::BrokenPipe {
            return;
        }
        let Failure { exit, what, meaning, next } = failure;
        let next = invocation.fill(next);
        if self.json {
            let object = serde_json::json!({
                "exit_code": exit.code(), "message": what, "meaning": meaning, "next": next,
            });
            let _ = self.object("error", object).and_then(|()| self.flush());
        } else {
            note(format_args!("error: {what}\n  {meaning}\n  next: {next}"));
        }
    }
}

/// Tells something on the way, to people. It matters to nobody if it cannot be written.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// An object as a line, its type first.
pub(crate) fn json_line(kind: &str, object: &mut Value) -> String {
    let mut fields = Map::new();
    fields.insert("type".to_owned(), kind.into());
    if let Value::Object(own) = object {
        fields.append(own);
    }
    format!("{}\n", Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_a_line_with_its_type() {
        let line = json_line("summary", &mut serde_json::json!({ "files": 3, "name": "a\nb" }));
        assert_eq!(line.lines().count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&object["type"], &object["files"], &object["name"]),
            (&"summary".into(), &3.into(), &"a\nb".into())
        );
    }
}
