use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pipeline::invocation::{CUSTOM_ATTRIBUTES_HEADER, INFERENCE_ID_HEADER, ages_of};
use pipeline::{Ages, AgesError, ErrorCode, ImageType};

use crate::answer_type::AnswerType;
use crate::body;
use crate::device::Order;
use crate::metrics::Counted;
use crate::refusal::Refusal;
use crate::server::Server;

/// What the log tells of an invocation.
#[derive(Default)]
struct Account {
    ages: Option<Ages>,
    bytes_in: usize,
}

/// `POST /invocations`: a picture in, its strip out.
pub(crate) async fn handle(State(server): State<Arc<Server>>, request: Request) -> Response {
    let start = Instant::now();
    let in_flight = Counted::new(&server.metrics.in_flight);
    let (parts, body) = request.into_parts();
    let mut account = Account::default();
    let result = answered(&server, &parts.headers, body, &mut account).await;
    let status = result.as_ref().map_or_else(|refusal| refusal.status, |_| StatusCode::OK);
    tracing::info!(
        inference_id = text(&parts.headers, INFERENCE_ID_HEADER),
        traceparent = text(&parts.headers, "traceparent"),
        trace_id = text(&parts.headers, "x-amzn-trace-id"),
        ages = account.ages.map(|ages| ages.to_string()),
        bytes_in = account.bytes_in,
        bytes_out = result.as_ref().map_or(0, |(_, strip)| strip.len()),
        status = status.as_u16(),
        error = result.as_ref().err().map(|refusal| refusal.error.to_string()),
        ms = start.elapsed().as_millis() as u64,
        "invocation"
    );
    server.metrics.answered(status);
    drop(in_flight);
    match result {
        Ok((media_type, strip)) => ([(header::CONTENT_TYPE, media_type)], strip).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn answered(
    server: &Server,
    headers: &HeaderMap,
    body: Body,
    account: &mut Account,
) -> Result<(String, Vec<u8>), Refusal> {
    // The body comes first, whatever the headers are: an answer to who is still sending may get lost.
    if let Err(unhealthy) = server.health.check() {
        body::discard(body).await;
        return Err(unhealthy.into());
    }
    let Ok(_place) = server.door.try_acquire() else {
        body::discard(body).await;
        return Err(Refusal::overloaded(server.settings.queue_length));
    };
    let picture = body::read(body, server.settings.max_request_bytes).await?;
    account.bytes_in = picture.len();
    check_type(headers)?;
    let ages = requested_ages(headers, &server.settings.ages)?;
    account.ages = Some(ages.clone());
    let answer_type = AnswerType::accepted(text(headers, header::ACCEPT))?;
    answer_type.check_width(ages.len())?;
    let limit = server.settings.max_response_bytes;
    let expected = aging::strip::byte_count(ages.len());
    if answer_type == AnswerType::Npy && expected > limit {
        return Err(Refusal::large_answer(expected, limit));
    }
    let done = server.device.done(Order { picture, ages, answer_type });
    let timeout = server.settings.response_timeout;
    let strip = tokio::time::timeout(timeout, done).await.unwrap_or_else(|_| Err(Refusal::late(timeout)))?;
    if strip.len() > limit {
        return Err(Refusal::large_answer(strip.len(), limit));
    }
    Ok((answer_type.media_type(server.engine()), strip))
}

/// A `Content-Type` of no picture is refused; which of the three it is, the bytes tell.
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let media_type = String::from_utf8_lossy(value.as_bytes());
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.is_empty() || essence.eq_ignore_ascii_case("application/octet-stream") {
        return Ok(());
    }
    media_type.parse::<ImageType>().map(drop).map_err(|error| {
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::UnsupportedImage, error.to_string())
    })
}

fn requested_ages(headers: &HeaderMap, default: &Ages) -> Result<Ages, AgesError> {
    let Some(attributes) = headers.get(CUSTOM_ATTRIBUTES_HEADER) else { return Ok(default.clone()) };
    let attributes = String::from_utf8_lossy(attributes.as_bytes());
    Ok(ages_of(&attributes)?.unwrap_or_else(|| default.clone()))
}

fn text(headers: &HeaderMap, name: impl TryInto<HeaderName>) -> Option<&str> {
    headers.get(name.try_into().ok()?)?.to_str().ok()
}
