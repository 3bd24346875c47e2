//! `hushkeep-vaultd`: runs a key vault.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use hushkeep_vault::server::ResealError;
#[cfg(feature = "bench")]
use hushkeep_vaultd::bench::{self, BenchOptions, Measured};
use hushkeep_vaultd::doctor::State;
use hushkeep_vaultd::folder::VaultFolder;
use hushkeep_vaultd::rekey::RekeyError;
use hushkeep_vaultd::serve::{GRACE, ServeError, ServeOptions, Server, THREADS, end_when_asked};
use hushkeep_vaultd::{chain, copy, count_of, doctor, rekey};

/// Runs a key vault: it gives backup keys back to whoever knows the password, and counts every guess first.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer requests until told to end; prints the address that owners need
    Serve(ServeArgs),
    /// Look at the vault: clock, disk, age of keys, records, fence
    Doctor(VaultArgs),
    /// Seal all records under a new key, and destroy the old one: copies from before open no more. Not while it is served
    Rekey {
        #[command(flatten)]
        vault: DirArgs,
        /// Delete records that are damaged: no copy can mend them afterwards
        #[arg(long)]
        give_up_damaged: bool,
    },
    /// Copy the records to a new file. The keys are not in it: keep "vault-keys" elsewhere, and apart from it
    Backup {
        #[command(flatten)]
        vault: DirArgs,
        /// The new file
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    #[cfg(feature = "bench")]
    /// Measure what a recovery costs, with a vault and clients on this machine (Linux)
    Bench {
        /// How many connections, each with a record of its own
        #[arg(long, default_value_t = 256)]
        connections: usize,
        /// How many recoveries on each of them, in twenty rounds of as many
        #[arg(long, default_value_t = 40)]
        recoveries: u64,
        /// How many records to fill a store with, to see what each takes on the disk (a gigabyte for a million)
        #[arg(long, default_value_t = 10_000)]
        records: u64,
    },
    /// Put a copy in the place of the records. Guesses that were counted since are forgotten, and owners will hear of it
    Restore {
        #[command(flatten)]
        vault: VaultArgs,
        /// The copy
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Replace records that are newer than the copy: what happened since is lost
        #[arg(long)]
        replace_newer: bool,
    },
}

#[derive(Args)]
struct DirArgs {
    /// The folder with the vault's keys and records
    #[arg(long, default_value = "vault")]
    dir: PathBuf,
}

#[derive(Args)]
struct VaultArgs {
    #[command(flatten)]
    vault: DirArgs,
    /// A folder that another machine keeps, by which records are noticed that were put back from an old copy
    #[arg(long, value_name = "DIR")]
    fence: Option<PathBuf>,
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8743")]
    listen: SocketAddr,
    /// The name under which owners reach the vault, with a port if it is not 443; default: where it listens
    #[arg(long, value_name = "HOST")]
    public: Option<String>,
    /// How many requests a minute one address may make; 0 for no limit, as behind a proxy
    #[arg(long, default_value_t = 120)]
    requests_a_minute: u32,
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();
    run(command).unwrap_or_else(|error| {
        eprintln!("hushkeep-vaultd: {}", chain(&*error));
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Serve(args) => {
            check_public(&args)?;
            serve(args)?;
        }
        Command::Doctor(VaultArgs { vault, fence }) => return tell_findings(&vault.dir, fence.as_deref()),
        Command::Rekey { vault, give_up_damaged } => {
            let rekeyed =
                rekey::rekey(&VaultFolder::take(&vault.dir)?, give_up_damaged).map_err(|error| match error {
                    RekeyError::Reseal(ResealError::Damaged(_)) => format!("{error} (--give-up-damaged)").into(),
                    error => Box::<dyn Error>::from(error),
                })?;
            println!("sealed {} under a new key, and destroyed the old one", count_of(rekeyed.sealed, "record"));
            if rekeyed.damaged > 0 {
                println!("deleted {} for damage", count_of(rekeyed.damaged, "record"));
            }
            println!(
                "now copy vault-keys and the records anew, and destroy all copies of before: one of each opens what \
                 was destroyed"
            );
        }
        #[cfg(feature = "bench")]
        Command::Bench { connections, recoveries, records } => {
            let options = BenchOptions { connections, recoveries, records };
            tell_measured(&bench::bench(&options).map_err(|error| error.to_string())?);
        }
        Command::Backup { vault, to } => println!("copied {}", count_of(copy::backup(&vault.dir, &to)?, "record")),
        Command::Restore { vault: VaultArgs { vault, fence }, from, replace_newer } => {
            let count = copy::restore(&VaultFolder::take(&vault.dir)?, &from, fence.as_deref(), replace_newer)?;
            println!("put {} back; guesses that were counted since the copy are forgotten", count_of(count, "record"));
            println!(
                "passwords that were registered or changed since lead nowhere: tell owners to run \"hushkeep attempts\""
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "bench")]
fn tell_measured(measured: &Measured) {
    let Measured { recoveries, time, cpu, login_start, records, bytes } = *measured;
    let rate = recoveries as f64 / time.as_secs_f64();
    println!(
        "{recoveries} recoveries in {:.1} s, clients and vault on one machine: {rate:.0} a second",
        time.as_secs_f64()
    );
    println!("the vault's processor time for each: {} µs", cpu.as_micros());
    println!("OPAQUE's login start alone: {} µs", login_start.as_micros());
    println!("ratio: {:.2}", cpu.as_secs_f64() / login_start.as_secs_f64());
    println!("{records} records, with two events each: {:.0} bytes each on the disk", bytes as f64 / records as f64);
}

/// A line for each finding; fails if one is not as it should be.
fn tell_findings(dir: &Path, fence: Option<&Path>) -> Result<ExitCode, Box<dyn Error>> {
    let findings = doctor::doctor(dir, fence)?;
    for finding in &findings {
        let sign = match finding.state {
            State::Well => "ok",
            State::Note => "--",
            State::Bad => "!!",
        };
        println!("{sign}  {:<8} {}", finding.what, finding.text);
    }
    Ok(if findings.iter().all(|finding| finding.state != State::Bad) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Owners connect to what is printed.
fn check_public(args: &ServeArgs) -> Result<(), &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    match &args.public {
        None if args.listen.ip().is_unspecified() => {
            Err("name the host by which owners reach the vault, with --public")
        }
        Some(host) if host.is_empty() || !host.chars().all(is_plain) => {
            Err("--public takes a host's name, with a port if it is not 443, and nothing else")
        }
        _ => Ok(()),
    }
}

fn serve(args: ServeArgs) -> Result<(), ServeError> {
    let requests_a_minute = NonZeroU32::new(args.requests_a_minute);
    let options = ServeOptions { fence: args.vault.fence, requests_a_minute };
    let server = Server::open(&args.vault.vault.dir, &options)?;
    let listener = TcpListener::bind(args.listen).map_err(ServeError::Listen)?;
    let address = listener.local_addr().map_err(ServeError::Listen)?;
    let public = args.public.unwrap_or_else(|| address.to_string());
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().max_blocking_threads(THREADS).build().map_err(ServeError::Listen)?;
    let ended = runtime.block_on(async {
        let handle = axum_server::Handle::new();
        end_when_asked(handle.clone()).map_err(ServeError::Listen)?;
        println!("https://{public}/#{}", server.id());
        server.run(listener, handle).await
    });
    // A disk or fence that hangs must not keep it from ending.
    runtime.shutdown_timeout(GRACE);
    ended
}
