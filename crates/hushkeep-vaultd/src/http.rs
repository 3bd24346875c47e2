//! Requests: each has one length, and is answered by a message of one length or by why there is none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::routing::{get, post};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use hushkeep_vault::request::{Code, PATHS};
use hushkeep_vault::server::{Refused, Vault};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::folder::VaultFolder;
use crate::limits::Limits;
use crate::store::SqliteStore;
use crate::{clock, problem};

/// No request is longer, in bytes.
const MAX_REQUEST: usize = 4096;

/// A request that takes longer has lost its client, or the disk.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A vault, its records, and what every request needs.
pub struct Service {
    /// The vault.
    pub vault: Vault,
    /// Its records.
    pub records: SqliteStore,
    /// Whether they could be changed when that was last tried.
    pub is_well: AtomicBool,
    /// A place for each request that is being handled; when none is left, others are refused.
    pub places: Arc<Semaphore>,
    /// Those that are worked on at the same time. The others wait.
    pub workers: Arc<Semaphore>,
    /// Nobody else changes the records before the last request has: a rekey would drop the key under which that one seals.
    pub folder: VaultFolder,
}

/// So many requests are taken at the same time.
pub const PLACES: usize = 1024;

/// So many are worked on at the same time. Their changes go to the disk together; more of them would pay for it with switching
/// from one to another.
pub const WORKERS: usize = 32;

/// The vault's routes.
pub fn router(service: Arc<Service>, brake: Option<Arc<Limits>>) -> Router {
    let mut router = Router::new().route("/health", get(health));
    for path in PATHS {
        let handle = move |State(service): State<Arc<Service>>, body: Bytes| answer(path, service, body);
        router = router.route(path, post(handle));
    }
    let limits = (
        CatchPanicLayer::custom(|_| problem::response(&problem::internal())),
        TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIME_LIMIT),
        RequestBodyLimitLayer::new(MAX_REQUEST),
    );
    let router = router.fallback(not_found).layer(limits).layer(map_response(with_code)).with_state(service);
    match brake {
        Some(brake) => router.layer(from_fn_with_state(brake, slow_down)),
        None => router,
    }
}

/// Whether records could be changed a minute ago: for whoever watches the vault.
async fn health(State(service): State<Arc<Service>>) -> Response<Body> {
    match service.is_well.load(Ordering::Relaxed) {
        true => Response::new(Body::from("ok\n")),
        false => problem::response(&Refused::new(Code::Unavailable, "the records cannot be changed")),
    }
}

/// Gives a code to what was refused before it got to the vault.
async fn with_code(response: Response<Body>) -> Response<Body> {
    let is_coded = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == problem::CONTENT_TYPE);
    let (code, detail) = match response.status().as_u16() {
        _ if is_coded => return response,
        404 => (Code::NoSuchPath, "there is nothing here"),
        405 => (Code::NoSuchMethod, "requests are posted"),
        413 => (Code::TooLarge, "no request is so long"),
        503 => (Code::Unavailable, "that took too long"),
        400.. => (Code::Refused, "the request is not taken"),
        _ => return response,
    };
    let status = response.status();
    // Not the path, which is whatever somebody wrote.
    match status.is_server_error() {
        true => tracing::error!(path = "other", code = code.as_str(), status = status.as_u16(), "request"),
        false => tracing::info!(path = "other", code = code.as_str(), status = status.as_u16(), "request"),
    }
    problem::response_with(status, &Refused::new(code, detail))
}

/// Handles a request on a thread that may wait for the disk, and logs how that went: nothing of what it was about.
async fn answer(path: &'static str, service: Arc<Service>, body: Bytes) -> Response<Body> {
    let started = Instant::now();
    let Ok(place) = Arc::clone(&service.places).try_acquire_owned() else {
        return refuse(path, &Refused::new(Code::Unavailable, "too many requests are being handled"));
    };
    // Whoever gives up before his turn has asked for nothing.
    let handled = match Arc::clone(&service.workers).acquire_owned().await {
        // The place is left when the work is done, whether its client is still there or not.
        Ok(worker) => tokio::task::spawn_blocking(move || {
            let _held = (place, worker);
            service.vault.answer(&service.records, (path, &body), clock::now(), &mut UnwrapErr(SysRng))
        }),
        Err(_) => return problem::response(&problem::internal()),
    };
    let handled = handled.await.unwrap_or_else(|_| Err(problem::internal()));
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let (code, is_well, trouble) = match &handled {
        Ok(answer) => ("ok", answer.trouble.is_none(), answer.trouble.as_deref()),
        Err(refused) => (refused.code.as_str(), refused.code.status() < 500, refused.trouble.as_deref()),
    };
    match is_well {
        true => tracing::info!(path, code, micros, "request"),
        false => tracing::error!(path, code, micros, trouble, "request"),
    }
    match handled {
        Ok(answer) => {
            let mut response = Response::new(Body::from(answer.message));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(refused) => problem::response(&refused),
    }
}

/// Refuses whoever asks too often.
async fn slow_down(
    State(brake): State<Arc<Limits>>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response<Body> {
    if brake.allow(source.ip()) {
        return next.run(request).await;
    }
    let path = PATHS.into_iter().find(|path| *path == request.uri().path()).unwrap_or("other");
    refuse(path, &Refused { retry_after: Some(60), ..Refused::new(Code::SlowDown, "too many requests") })
}

/// Refuses what was not handled at all, and logs that.
fn refuse(path: &'static str, refused: &Refused) -> Response<Body> {
    tracing::warn!(path, code = refused.code.as_str(), "request");
    problem::response(refused)
}

async fn not_found() -> StatusCode {
    StatusCode::NOT_FOUND
}
