//! How the program was started, so that the commands it proposes can be typed as they are.

use std::env;

use hushkeep::Place;

/// The words that start this program again, for the same repository.
pub(crate) struct Invocation {
    program: String,
    repo: String,
}

impl Invocation {
    pub(crate) fn new(place: Option<&Place>) -> Self {
        let typed = env::args_os().next().unwrap_or_default().to_string_lossy().into_owned();
        let by_cargo = env::var_os("CARGO").is_some() && env::var_os("CARGO_MANIFEST_DIR").is_some();
        let from_environment = env::var("HUSHKEEP_REPO").ok();
        let repo = place.map(ToString::to_string).filter(|repo| from_environment.as_ref() != Some(repo));
        Self { program: program(&typed, by_cargo), repo: repo.map_or(String::new(), |repo| repo_argument(&repo)) }
    }

    /// A command line: this program, the command, and the repository if there is one.
    pub(crate) fn command(&self, command: &str) -> String {
        format!("{} {command}{}", self.program, self.repo)
    }

    /// Fills in the command lines of an advice: what stands between backquotes is a command.
    pub(crate) fn fill(&self, advice: &str) -> String {
        let parts = advice.split('`').enumerate();
        parts.map(|(number, part)| if number % 2 == 1 { self.command(part) } else { part.to_owned() }).collect()
    }
}

fn program(typed: &str, by_cargo: bool) -> String {
    let path = typed.replace('\\', "/");
    let path = path.strip_suffix(".exe").unwrap_or(&path);
    match path {
        _ if by_cargo && path.ends_with("release/hushkeep") => "cargo run --release --".to_owned(),
        _ if by_cargo && path.ends_with("debug/hushkeep") => "cargo run --".to_owned(),
        "" => "hushkeep".to_owned(),
        _ => quoted(typed),
    }
}

fn repo_argument(repo: &str) -> String {
    format!(" --repo {}", quoted(repo))
}

/// Quotes a word for a shell, if it needs to be.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "/._-+:@%,\\".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_written_as_the_program_was_started() {
        assert_eq!(program("hushkeep", false), "hushkeep");
        assert_eq!(program("target/release/hushkeep", true), "cargo run --release --");
        assert_eq!(program("/x/target/debug/hushkeep", true), "cargo run --");
        assert_eq!(program("target/release/hushkeep", false), "target/release/hushkeep");
        assert_eq!(program("/my programs/hushkeep", false), "'/my programs/hushkeep'");
    }

    #[test]
    fn advice_is_filled_in() {
        let invocation = Invocation { program: "hushkeep".into(), repo: repo_argument("it's here") };
        let filled = invocation.fill("run `check` or `recover`, then wait");
        assert_eq!(
            filled,
            r"run hushkeep check --repo 'it'\''s here' or hushkeep recover --repo 'it'\''s here', then wait"
        );
    }
}
