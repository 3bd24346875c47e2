//! The server as a whole: a folder with keys and records, an address, and an end that lets requests finish.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use hushkeep_vault::VaultId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::fence::{Fence, FenceError};
use crate::folder::{FolderError, VaultFolder};
use crate::http::{PLACES, Service, WORKERS, router};
use crate::limits::Limits;
use crate::tls::{self, TlsError};
use crate::{chain, clock};

/// Requests that are under way at the end have so long.
pub const GRACE: Duration = Duration::from_secs(10);

/// A connection that has sent no request in this time is closed, and so is one that has gone away.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// While the vault is served, so often what is due is destroyed, its log is tidied, and the fence moves on.
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(60);

/// So many threads wait for the disk: for requests, and for what is done each minute and at the end, which must not wait for
/// those.
pub const THREADS: usize = WORKERS + 2;

/// If the fence is not reached for so long, the vault is served no more: a copy of the records from this time would pass.
const FENCE_LOST: Duration = Duration::from_secs(300);

/// A vault that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It cannot be opened.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its records are older than they were, or the fence cannot tell.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// Nothing came back from the disk or the fence: for five minutes, or at the end.
    #[error("the disk or the fence does not answer")]
    Hangs,
    /// Its records can be changed no more.
    #[error("the thread that writes has ended")]
    NoWriter,
    /// It has no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is not to be had, or is lost.
    #[error("cannot listen there: another program may do that")]
    Listen(#[source] io::Error),
}

/// What the operator may choose.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// Where the fence is.
    pub fence: Option<PathBuf>,
    /// So many requests a minute are answered to one address; none if there is no limit.
    pub requests_a_minute: Option<std::num::NonZeroU32>,
}

/// A vault that is ready to be served.
pub struct Server {
    service: Arc<Service>,
    fence: Option<Fence>,
    limits: Option<Arc<Limits>>,
    tls: Arc<rustls::ServerConfig>,
    id: VaultId,
}

impl Server {
    /// Opens the vault in a folder, or makes one.
    pub fn open(folder: &Path, options: &ServeOptions) -> Result<Self, ServeError> {
        let folder = VaultFolder::take_or_create(folder)?;
        let tls = tls::config(&folder.keys()?)?;
        let (vault, records) = folder.open()?;
        let id = vault.id();
        let fence = options.fence.as_deref().map(|path| Fence::open(path, &id)).transpose()?;
        if let Some(fence) = &fence {
            fence.pass(&records)?;
        }
        let service = Arc::new(Service {
            vault,
            records,
            is_well: AtomicBool::new(true),
            places: Arc::new(Semaphore::new(PLACES)),
            workers: Arc::new(Semaphore::new(WORKERS)),
            folder,
        });
        let limits = options.requests_a_minute.map(|most| Arc::new(Limits::new(most)));
        Ok(Self { service, fence, limits, tls, id })
    }

    /// What its clients know it by.
    pub fn id(&self) -> VaultId {
        self.id
    }

    /// Answers requests until `handle` ends it.
    pub async fn run(self, listener: std::net::TcpListener, handle: Handle<SocketAddr>) -> Result<(), ServeError> {
        listener.set_nonblocking(true).map_err(ServeError::Listen)?;
        let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(self.tls));
        let mut server = server.map_err(ServeError::Listen)?.handle(handle).first_request_timeout(REQUEST_LIMIT);
        server.http_builder().http1().header_read_timeout(REQUEST_LIMIT);
        server.http_builder().http2().keep_alive_interval(REQUEST_LIMIT);
        let (fence, service) = (self.fence.map(Arc::new), Arc::clone(&self.service));
        let keeper = look_after(fence.clone(), Arc::clone(&self.service), self.limits.clone());
        let routes = router(self.service, self.limits).into_make_service_with_connect_info::<SocketAddr>();
        tokio::select! {
            ended = server.serve(routes) => ended.map_err(ServeError::Listen)?,
            error = keeper => return Err(error),
        }
        // Copies from the last minute are behind it, too.
        let Some(fence) = fence else { return Ok(()) };
        let passed = tokio::task::spawn_blocking(move || fence.pass(&service.records));
        match tokio::time::timeout(GRACE, passed).await {
            Ok(Ok(passed)) => Ok(passed?),
            _ => Err(ServeError::Hangs),
        }
    }
}

/// Looks after the records while they are served; ends only if they must not be any more, or cannot.
async fn look_after(fence: Option<Arc<Fence>>, service: Arc<Service>, limits: Option<Arc<Limits>>) -> ServeError {
    let (mut reached, mut running) = (Instant::now(), None);
    loop {
        if let Some(limits) = &limits {
            limits.forget_idle();
        }
        if !service.records.has_writer() {
            return ServeError::NoWriter;
        }
        // One at a time: what hangs takes no second thread.
        let mut look = running.take().unwrap_or_else(|| {
            let (fence, service) = (fence.clone(), Arc::clone(&service));
            tokio::task::spawn_blocking(move || look_once(fence.as_deref(), &service))
        });
        let looked = tokio::time::timeout(LOOK_AFTER_EVERY, &mut look).await;
        if looked.is_err() {
            running = Some(look);
        }
        match looked {
            Ok(Ok(Ok(()))) => reached = Instant::now(),
            Ok(Ok(Err(error))) if Fence::forbids(&error) => return error.into(),
            // Whatever it is that keeps the fence where it is.
            Ok(Ok(Err(error))) if fence.is_some() && reached.elapsed() > FENCE_LOST => return error.into(),
            Ok(Ok(Err(error))) => tracing::error!(error = chain(&error), "what is to be done each minute failed"),
            // The disk or the fence hangs: on a file system of the network that may last for ever.
            Ok(Err(_)) | Err(_) if reached.elapsed() > FENCE_LOST => return ServeError::Hangs,
            Ok(Err(_)) | Err(_) => {
                service.is_well.store(false, Ordering::Relaxed);
                tracing::error!("what is to be done each minute was not done in a minute");
            }
        }
        tokio::time::sleep(LOOK_AFTER_EVERY).await;
    }
}

fn look_once(fence: Option<&Fence>, service: &Service) -> Result<(), FenceError> {
    destroy_due(service);
    let kept = service.records.check().and_then(|()| service.records.tidy());
    service.is_well.store(kept.is_ok(), Ordering::Relaxed);
    kept?;
    fence.map_or(Ok(()), |fence| fence.pass(&service.records))
}

/// What nobody asks for any more is destroyed all the same. A record that cannot be keeps nothing else from being done.
fn destroy_due(service: &Service) {
    match service.vault.destroy_due(&service.records, clock::now(), &mut UnwrapErr(SysRng)) {
        Ok(0) => {}
        Ok(damaged) => tracing::error!(damaged, "records whose guesses are spent are damaged, and were not destroyed"),
        Err(error) => tracing::error!(error = chain(&error), "not all records whose guesses are spent were destroyed"),
    }
}

/// Ends the server when the system asks for it, from now on: what is under way is answered first.
pub fn end_when_asked(handle: Handle<SocketAddr>) -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        handle.graceful_shutdown(Some(GRACE));
    });
    Ok(())
}
