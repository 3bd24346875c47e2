//! `spec/threat-model.md` claims nothing without a test that is there, or a reason why there can be none.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// How the last cell of a claim begins that no test can show.
const NO_TEST: &str = "no test: ";

/// A line of a table of claims.
struct Claim {
    id: String,
    text: String,
    shown_by: String,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document() -> String {
    fs::read_to_string(workspace().join("spec/threat-model.md")).unwrap()
}

/// Every row `| T1 | claim | shown by |`.
fn claims(document: &str) -> Vec<Claim> {
    let rows = document.lines().filter(|line| line.starts_with("| T"));
    let claim = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "not a claim: {line}");
        Claim { id: cells[0].to_owned(), text: cells[1].to_owned(), shown_by: cells[2].to_owned() }
    };
    rows.map(claim).collect()
}

/// What stands between backquotes, and whether anything but commas is outside of them.
fn names(cell: &str) -> (Vec<&str>, bool) {
    let parts: Vec<&str> = cell.split('`').collect();
    let names = parts.iter().skip(1).step_by(2).copied().collect();
    (names, parts.iter().step_by(2).all(|part| part.trim().is_empty() || part.trim() == ","))
}

/// The files that the tests of `crate::module::…` may be in.
fn files_of(package: &str, modules: &[&str]) -> Vec<PathBuf> {
    let package = workspace().join("crates").join(package);
    let module = modules.join("/");
    let places = ["tests/{}.rs", "tests/{}/main.rs", "src/{}.rs", "src/{}/tests.rs"];
    places.iter().map(|place| package.join(place.replace("{}", &module))).filter(|path| path.is_file()).collect()
}

/// Whether a source has a test of this name.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_it =
        |line: &str| line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name)?.chars().next()) == Some('(');
    let Some(at) = lines.iter().position(|line| is_it(line)) else { return false };
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with('#') || line.starts_with("//"));
    above.into_iter().any(|line| *line == "#[test]")
}

/// Whether `crate::module::test` names a test that is there.
fn exists(name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    let [package, modules @ .., test] = parts.as_slice() else { return false };
    files_of(package, modules).iter().any(|path| has_test(&fs::read_to_string(path).unwrap(), test))
}

#[test]
fn every_claim_names_tests_that_are_there_or_says_why_there_are_none() {
    let claims = claims(&document());
    assert!(claims.len() > 50, "{} claims", claims.len());
    let mut wrong = Vec::new();
    for Claim { id, text, shown_by } in &claims {
        let (names, is_nothing_else) = names(shown_by);
        let is_reasoned = shown_by.strip_prefix(NO_TEST).is_some_and(|why| why.split_whitespace().count() >= 4);
        if text.is_empty() || (!is_reasoned && (names.is_empty() || !is_nothing_else)) {
            wrong.push(format!("{id} has neither tests nor a reason: {shown_by:?}"));
        }
        wrong.extend(names.iter().filter(|name| !exists(name)).map(|name| format!("{id}: there is no {name}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn claims_are_numbered_without_gaps() {
    let ids: Vec<String> = claims(&document()).into_iter().map(|claim| claim.id).collect();
    let numbered: Vec<String> = (1..=ids.len()).map(|number| format!("T{number}")).collect();
    assert_eq!(ids, numbered);
}

#[test]
fn only_exit_codes_that_are_documented_are_promised() {
    let codes = fs::read_to_string(workspace().join("docs/exit-codes.md")).unwrap();
    let document = document();
    let promised = document.split("(exit ").skip(1).map(|rest| rest.split(')').next().unwrap());
    let promised: Vec<&str> = promised.flat_map(|codes| codes.split(" or ")).collect();
    assert!(promised.len() > 5, "{promised:?}");
    for code in promised {
        assert!(codes.contains(&format!("\n| {code} |")), "exit code {code} is not in docs/exit-codes.md");
    }
}

#[test]
fn a_test_that_is_gone_is_noticed() {
    assert!(exists("testkit::threat_model::a_test_that_is_gone_is_noticed"));
    assert!(exists("hushkeep-core::seal::every_bit_is_authenticated"));
    assert!(exists("hushkeep-core::wire::arbitrary_bytes_never_panic"), "a property");
    assert!(!exists("testkit::threat_model::a_test_that_is_gone"));
    assert!(!exists("testkit::threat_model::exists"), "a function that is no test");
    assert!(!exists("hushkeep-core::nowhere::every_bit_is_authenticated"));
}
