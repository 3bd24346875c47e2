//! What a recovery costs a vault: processor time beside that of OPAQUE alone, and bytes on the disk.
//!
//! A second process of this program serves a vault on this machine; this one plays its clients, who stretch no passwords.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use hushkeep_core::Secret;
use hushkeep_core::keys::{BackupKey, Epoch};
use hushkeep_core::name::RepositoryId;
use hushkeep_core::symmetric::sha256;
use hushkeep_core::wrap::{KdfParams, Passphrase};
use hushkeep_vault::bench::LoginStart;
use hushkeep_vault::client::{Recovery, Registration, UpdateKeys};
use hushkeep_vault::request::Request;
use hushkeep_vault::{Locator, Pair, RecordId, UpdateKey, VaultId};
use reqwest::Client;
use tokio::runtime::Runtime;

use crate::clock;
use crate::folder::VaultFolder;

/// What is measured with.
#[derive(Debug, Clone, Copy)]
pub struct BenchOptions {
    /// How many connections, each with its own record.
    pub connections: usize,
    /// How many recoveries on each of them.
    pub recoveries: u64,
    /// How many records a store is filled with.
    pub records: u64,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// How many recoveries were completed.
    pub recoveries: u64,
    /// How long that took.
    pub time: Duration,
    /// The vault's processor time for each of them, all threads.
    pub cpu: Duration,
    /// The processor time of OPAQUE's part alone, measured in the same run.
    pub login_start: Duration,
    /// How many records were kept.
    pub records: u64,
    /// How many bytes their file has.
    pub bytes: u64,
}

/// What did not work.
pub type BenchError = Box<dyn std::error::Error + Send + Sync>;

const PASSWORD: &str = "seven geese cross the frozen canal";

/// Recoveries and OPAQUE alone take turns so often: a machine is not as fast at one time as at another.
const ROUNDS: u32 = 20;

/// So often OPAQUE's part is run in each round.
const LOGIN_STARTS: u32 = 200;

/// Measures completed recoveries: two requests, two durable writes each.
pub fn bench(options: &BenchOptions) -> Result<Measured, BenchError> {
    let folder = tempfile::tempdir()?;
    // If there is one already, it is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut served = Served::start(folder.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = measure(&served, &runtime, options);
    served.child.kill()?;
    served.child.wait()?;
    let measured = measured?;
    Ok(Measured { bytes: fill(&folder.path().join("filled"), options.records)?, ..measured })
}

fn measure(served: &Served, runtime: &Runtime, options: &BenchOptions) -> Result<Measured, BenchError> {
    let BenchOptions { connections, recoveries, records } = *options;
    let owners = (0..connections).map(|_| runtime.block_on(Owner::register(served)).map(Arc::new));
    let owners: Vec<Arc<Owner>> = owners.collect::<Result<_, _>>()?;
    let login = LoginStart::new(&mut UnwrapErr(SysRng)).ok_or("OPAQUE failed")?;
    let (mut time, mut cpu, mut login_start) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let of_each = (recoveries / u64::from(ROUNDS)).max(1);
    for _ in 0..ROUNDS {
        login_start += login_starts(&login)? / ROUNDS;
        let (began, before) = (Instant::now(), served.cpu()?);
        runtime.block_on(recover_all(&owners, of_each))?;
        (time, cpu) = (time + began.elapsed(), cpu + served.cpu()?.saturating_sub(before));
    }
    let recoveries = u64::from(ROUNDS) * of_each * connections as u64;
    Ok(Measured { recoveries, time, cpu: cpu / u32::try_from(recoveries)?, login_start, records, bytes: 0 })
}

/// So many records are kept at the same time: they go to the disk together.
const FILLERS: usize = 64;

/// Fills a store with records, as they are once a password was registered. Returns how many bytes its file has.
fn fill(folder: &Path, records: u64) -> Result<u64, BenchError> {
    let folder = VaultFolder::take_or_create(folder)?;
    let (vault, store) = folder.open()?;
    std::thread::scope(|scope| {
        let keep = |filler: usize| {
            let rng = &mut UnwrapErr(SysRng);
            (filler as u64..records).step_by(FILLERS).try_for_each(|number| {
                // Real names are as good as random.
                let id = RecordId::from_bytes(sha256(&[&number.to_le_bytes()]));
                vault.keep_empty(&store, &id, clock::now(), rng)
            })
        };
        let fillers: Vec<_> = (0..FILLERS).map(|filler| scope.spawn(move || keep(filler))).collect();
        let kept =
            fillers.into_iter().map(|filler| filler.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        kept.collect::<Result<(), _>>()
    })?;
    store.tidy()?;
    Ok(fs::metadata(folder.records_file())?.len())
}

/// The processor time of OPAQUE's part, with every core at it: beside idle ones a core is faster.
fn login_starts(login: &LoginStart) -> Result<Duration, BenchError> {
    let run = || {
        let before = cpu_in(Path::new("/proc/thread-self"))?;
        (0..LOGIN_STARTS).try_for_each(|_| login.run(&mut UnwrapErr(SysRng))).ok_or("OPAQUE failed")?;
        Ok::<_, BenchError>(cpu_in(Path::new("/proc/thread-self"))?.saturating_sub(before))
    };
    let threads = std::thread::available_parallelism()?.get();
    let all: Vec<Duration> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        all.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).collect::<Result<_, _>>()
    })?;
    Ok(all.iter().sum::<Duration>() / (LOGIN_STARTS * u32::try_from(threads)?))
}

/// All recover at once, so many times.
async fn recover_all(owners: &[Arc<Owner>], times: u64) -> Result<(), BenchError> {
    let mut all = tokio::task::JoinSet::new();
    for owner in owners {
        let owner = Arc::clone(owner);
        all.spawn(async move {
            for _ in 0..times {
                owner.recover().await?;
            }
            Ok::<_, BenchError>(())
        });
    }
    while let Some(ended) = all.join_next().await {
        ended??;
    }
    Ok(())
}

/// This program, serving a vault.
struct Served {
    child: Child,
    base: String,
    vault: VaultId,
}

impl Served {
    fn start(folder: &Path) -> Result<Self, BenchError> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--requests-a-minute", "0", "--dir"])
            .arg(folder.join("vault"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let (base, key) = line.trim().split_once("/#").ok_or("no address")?;
        let vault = VaultId::from_hex(key).ok_or("no key")?;
        Ok(Self { child, base: base.to_owned(), vault })
    }

    /// The processor time that the vault has used, all of its threads.
    fn cpu(&self) -> io::Result<Duration> {
        let told = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything: its fields 14 and 15, in hundredths of a second.
        let fields = told.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        Ok(fields.filter_map(|ticks| ticks.parse().ok()).map(|ticks: u64| Duration::from_millis(10 * ticks)).sum())
    }
}

/// The processor time that a thread has used.
fn cpu_in(thread: &Path) -> io::Result<Duration> {
    let told = fs::read_to_string(thread.join("schedstat"))?;
    Ok(Duration::from_nanos(told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default()))
}

/// An owner on a connection.
struct Owner {
    client: Client,
    base: String,
    pair: Pair,
    password: Passphrase,
}

impl Owner {
    async fn register(served: &Served) -> Result<Self, BenchError> {
        let rng = &mut UnwrapErr(SysRng);
        let client = Client::builder().tls_danger_accept_invalid_certs(true).http1_only().build()?;
        let password = Passphrase::new(PASSWORD).map_err(|_| "no password")?;
        let (key, locator) = (BackupKey::from_secret(Secret::generate(rng)), Locator::generate(rng));
        let secret = key.epoch_secret(&RepositoryId::from_bytes([1; 16]), Epoch(0));
        let owner = UpdateKey::derive(&secret, &served.vault, &locator);
        let place = (served.base.clone(), served.vault);
        let (registration, request) = Registration::begin(place, locator, &password, KdfParams::FLOOR, rng)?;
        let reply = post(&client, &served.base, &request).await?;
        let staging = registration.unstretched().stage(&reply, &key, UpdateKeys { owner: &owner, next: &owner }, rng);
        let (staged, request) = staging?;
        post(&client, &served.base, &request).await?;
        let (pair, request) = staged.commit(&owner);
        post(&client, &served.base, &request).await?;
        Ok(Self { client, base: served.base.clone(), pair, password })
    }

    async fn recover(&self) -> Result<(), BenchError> {
        let (recovery, request) =
            Recovery::begin(std::slice::from_ref(&self.pair), &self.password, &mut UnwrapErr(SysRng))?;
        let recovery = recovery.unstretched();
        let reply = post(&self.client, &self.base, &request).await?;
        let proofs = recovery.prove(&reply, &mut UnwrapErr(SysRng))?;
        let (awaiting, request) = proofs.into_iter().next().ok_or("no proof")?;
        let reply = post(&self.client, &self.base, &request).await?;
        awaiting.open(&reply)?;
        Ok(())
    }
}

async fn post<R: Request>(client: &Client, base: &str, request: &R) -> Result<R::Reply, BenchError> {
    let reply = client.post(format!("{base}{}", R::PATH)).body(request.message()).send().await?.error_for_status()?;
    Ok(R::reply(&reply.bytes().await?)?)
}
