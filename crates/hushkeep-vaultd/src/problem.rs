//! What is refused, as `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use hushkeep_vault::request::Code;
use hushkeep_vault::server::Refused;
use serde_json::json;

/// What such an answer says that it is.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// The answer that says why there is none.
pub(crate) fn response(refused: &Refused) -> Response<Body> {
    let status = StatusCode::from_u16(refused.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response_with(status, refused)
}

/// The same, with the status that HTTP itself has given it.
pub(crate) fn response_with(status: StatusCode, refused: &Refused) -> Response<Body> {
    let body = json!({
        "type": "about:blank",
        "status": status.as_u16(),
        "code": refused.code.as_str(),
        "detail": refused.detail,
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if let Some(seconds) = refused.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Something went wrong within the vault itself.
pub(crate) fn internal() -> Refused {
    Refused::new(Code::Internal, "the vault failed")
}
