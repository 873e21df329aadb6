use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{self, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nn::Stages;
use pipeline::invocation::{CUSTOM_ATTRIBUTES_HEADER, INFERENCE_ID_HEADER, ages_of};
use pipeline::{Ages, AgesError, ErrorCode, ImageType};
use tokio::task::spawn_blocking;

use crate::answer_type::AnswerType;
use crate::body;
use crate::handler::{InferenceHandler, Request};
use crate::metrics::{Counted, Metrics};
use crate::refusal::Refusal;
use crate::server::Server;

/// What becomes of an invocation. Logs and counts it when it ends, however it ends.
struct Account {
    metrics: Arc<Metrics>,
    headers: HeaderMap,
    start: Instant,
    ages: Option<Ages>,
    bytes_in: usize,
    /// Waiting for a thread or for the device.
    waited: Duration,
    /// Reading, waiting, input, prediction and output.
    accounted: Duration,
    outcome: Option<Result<usize, Refusal>>,
    _in_flight: Counted,
}

impl Account {
    fn open(metrics: &Arc<Metrics>, headers: HeaderMap) -> Self {
        Self {
            metrics: metrics.clone(),
            headers,
            start: Instant::now(),
            ages: None,
            bytes_in: 0,
            waited: Duration::ZERO,
            accounted: Duration::ZERO,
            outcome: None,
            _in_flight: Counted::new(&metrics.in_flight),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let elapsed = self.start.elapsed();
        let refusal = self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err());
        let status = match &self.outcome {
            Some(Ok(_)) => Some(StatusCode::OK),
            Some(Err(refusal)) => Some(refusal.status),
            None => None,
        };
        match status {
            Some(status) => self.metrics.answered(status),
            None => drop(self.metrics.abandoned.inc()),
        }
        tracing::info!(
            inference_id = text(&self.headers, INFERENCE_ID_HEADER),
            traceparent = text(&self.headers, "traceparent"),
            trace_id = text(&self.headers, "x-amzn-trace-id"),
            ages = self.ages.as_ref().map(Ages::to_string),
            bytes_in = self.bytes_in,
            bytes_out = self.outcome.as_ref().map_or(0, |outcome| outcome.as_ref().map_or(0, |bytes| *bytes)),
            status = status.map(|status| status.as_u16()),
            error = refusal.map(|refusal| refusal.error.to_string()),
            waited_ms = milliseconds(self.waited),
            ms = milliseconds(elapsed),
            "{}",
            if status.is_some() { "invocation" } else { "invocation: the client left" }
        );
        // Telling of it takes its time too.
        if status == Some(StatusCode::OK) {
            self.metrics.waited(self.waited);
            self.metrics.overhead(self.start.elapsed().saturating_sub(self.accounted));
        }
    }
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

/// `POST /invocations`: a picture in, its strip out.
pub(crate) async fn handle<H: InferenceHandler>(
    State(server): State<Arc<Server<H>>>,
    request: extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut account = Account::open(&server.metrics, parts.headers);
    let result = answered(&server, body, &mut account).await;
    account.outcome = Some(result.as_ref().map(|(_, strip)| strip.len()).map_err(Clone::clone));
    drop(account);
    match result {
        Ok((media_type, strip)) => ([(header::CONTENT_TYPE, media_type)], strip).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn answered<H: InferenceHandler>(
    server: &Arc<Server<H>>,
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
    let start = Instant::now();
    let picture = body::read(body, server.settings.max_request_bytes).await?;
    let elapsed = start.elapsed();
    account.accounted += elapsed;
    server.metrics.stage("read", elapsed);
    account.bytes_in = picture.len();
    check_type(&account.headers)?;
    let ages = requested_ages(&account.headers, &server.settings.ages)?;
    account.ages = Some(ages.clone());
    let answer_type = AnswerType::accepted(text(&account.headers, header::ACCEPT))?;
    answer_type.check_width(ages.len())?;
    let limit = server.settings.max_response_bytes;
    let expected = aging::strip::byte_count(ages.len());
    if answer_type == AnswerType::Npy && expected > limit {
        return Err(Refusal::large_answer(expected, limit));
    }
    let timeout = server.settings.response_timeout;
    let inferred = infer(server, Request { picture, ages, answer_type }, account);
    let strip = tokio::time::timeout(timeout, inferred).await.unwrap_or_else(|_| Err(Refusal::late(timeout)))?;
    if strip.len() > limit {
        return Err(Refusal::large_answer(strip.len(), limit));
    }
    Ok((answer_type.media_type(server.handler.name()), strip))
}

/// Input, prediction, output.
async fn infer<H: InferenceHandler>(
    server: &Arc<Server<H>>,
    request: Request,
    account: &mut Account,
) -> Result<Vec<u8>, Refusal> {
    let answer_type = request.answer_type;
    let start = Instant::now();
    let Ok(permit) = server.inputs.clone().acquire_owned().await else { return Err(Refusal::broken()) };
    account.waited = start.elapsed();
    account.accounted += account.waited;
    let work = measured(server, account, move |handler, stages| {
        let work = handler.input(&request, stages);
        drop(permit);
        work
    })
    .await?;
    let served = server.device.done(work).await?;
    account.waited += served.waited;
    account.accounted += served.elapsed();
    server.metrics.served(served.served);
    measured(server, account, move |handler, stages| handler.output(served.work, answer_type, stages)).await
}

/// Does a step that takes its time where it keeps nobody waiting.
async fn measured<H: InferenceHandler, T: Send + 'static>(
    server: &Arc<Server<H>>,
    account: &mut Account,
    step: impl FnOnce(&H, &mut Stages) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let server = server.clone();
    let done = spawn_blocking(move || {
        let (start, mut stages) = (Instant::now(), Stages::default());
        let result = step(&server.handler, &mut stages);
        server.metrics.stages(&stages);
        (result, start.elapsed())
    });
    // A panic is for the log; it has cost nobody else anything.
    let (result, elapsed) = done.await.map_err(|_panic| Refusal::broken())?;
    account.accounted += elapsed;
    result
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
