//! The command line as text: what it prints is reviewed like code.

#[test]
fn commands_print_what_is_written_down() {
    trycmd::TestCases::new()
        .env("TZ", "UTC")
        .env("HUSHKEEP_HOME", "home")
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd");
}
