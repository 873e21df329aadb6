//! `POST /invocations`: from the head to the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use nn::Stages;
use pipeline::invocation::INFERENCE_ID_HEADER;
use tokio::task::spawn_blocking;

use crate::body::Received;
use crate::handler::{Answer, InferenceHandler};
use crate::head::{Head, text};
use crate::health::Unhealthy;
use crate::log_line::LogLine;
use crate::metrics::Counted;
use crate::refusal::{Reason, Refusal};
use crate::state::ServerState;

/// Answers an invocation.
pub(crate) async fn handle<H: InferenceHandler>(
    State(server): State<Arc<ServerState<H>>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut account = Account::open(&server, &parts.headers);
    let result = answered(&server, &Head::new(&parts.headers), body, &mut account).await;
    account.outcome = Some(result.as_ref().map(|answer| answer.body.len()).map_err(Clone::clone));
    drop(account);
    match result {
        Ok(answer) => server.respond(answer),
        Err(refusal) => server.refuse(&refusal),
    }
}

async fn answered<H: InferenceHandler>(
    server: &Arc<ServerState<H>>,
    head: &Head,
    body: Body,
    account: &mut Account<H>,
) -> Result<Answer, Refusal> {
    // The body is read before the head is judged: a client that is still sending could miss the answer.
    if let Err(unhealthy) = server.health.check() {
        server.bodies.discard(body).await;
        return Err(server.refusal(unhealthy));
    }
    let Ok(_begun) = server.begun.try_read() else {
        server.bodies.discard(body).await;
        return Err(server.refusal(Unhealthy::Draining));
    };
    let waiting = server.settings.queue_length;
    if server.admission.available_permits() == 0 {
        server.bodies.discard(body).await;
        return Err(server.refusal(Reason::Overloaded { waiting }));
    }
    let start = Instant::now();
    let received = server.bodies.read(body, waiting).await.map_err(|reason| server.refusal(reason))?;
    // A place is taken by a whole body only: clients that send slowly keep nobody out.
    let Ok(_permit) = server.admission.try_acquire() else {
        return Err(server.refusal(Reason::Overloaded { waiting }));
    };
    let Received { bytes: body, room: _room } = received;
    let elapsed = start.elapsed();
    account.accounted += elapsed;
    server.metrics.stage("read", elapsed);
    account.bytes_in = body.len();
    let request = Arc::new(server.handler.accept(head)?);
    account.request = Some(request.clone());
    let within_limit = |bytes: usize| {
        let limit = server.settings.max_response_bytes;
        if bytes <= limit { Ok(()) } else { Err(server.refusal(Reason::LargeAnswer { bytes, limit })) }
    };
    if let Some(bytes) = server.handler.answer_bytes(&request) {
        within_limit(bytes)?;
    }
    let limit = server.settings.response_timeout;
    let inferred = infer(server, request, body, account);
    let late = |_| Err(server.refusal(Reason::Late { limit }));
    let answer = tokio::time::timeout(limit, inferred).await.unwrap_or_else(late)?;
    within_limit(answer.body.len())?;
    Ok(answer)
}

/// Fetching, input, prediction, output.
async fn infer<H: InferenceHandler>(
    server: &Arc<ServerState<H>>,
    request: Arc<H::Request>,
    body: Vec<u8>,
    account: &mut Account<H>,
) -> Result<Answer, Refusal> {
    let (start, mut stages) = (Instant::now(), Stages::default());
    let payload = server.handler.fetch(&request, body, server.max_request_bytes(), &mut stages).await;
    server.metrics.stages(&stages);
    let fetched = start.elapsed();
    let payload = payload?;

    let start = Instant::now();
    let Ok(permit) = server.inputs.clone().acquire_owned().await else { return Err(server.refusal(Reason::Failed)) };
    account.waited = start.elapsed();
    account.accounted += fetched + account.waited;
    let asked = request.clone();
    let work = measured(server, account, move |handler, stages| {
        let work = handler.input(&asked, payload, stages);
        drop(permit);
        work
    })
    .await?;
    let served = server.worker.serve(work).await?;
    account.waited += served.waited;
    account.accounted += served.elapsed();
    server.metrics.served(served.served);
    measured(server, account, move |handler, stages| handler.output(&request, served.work, stages)).await
}

/// Runs a long computation on a thread of its own, so that it does not block the server.
async fn measured<H: InferenceHandler, T: Send + 'static>(
    server: &Arc<ServerState<H>>,
    account: &mut Account<H>,
    step: impl FnOnce(&H, &mut Stages) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let state = server.clone();
    let done = spawn_blocking(move || {
        let (start, mut stages) = (Instant::now(), Stages::default());
        let result = step(&state.handler, &mut stages);
        state.metrics.stages(&stages);
        (result, start.elapsed())
    });
    // The log has the panic. Other invocations are not affected.
    let (result, elapsed) = done.await.map_err(|_panic| server.refusal(Reason::Failed))?;
    account.accounted += elapsed;
    result
}

/// The account of an invocation. It is logged and counted when it is dropped, however the invocation ends.
struct Account<H: InferenceHandler> {
    server: Arc<ServerState<H>>,
    line: LogLine,
    start: Instant,
    request: Option<Arc<H::Request>>,
    bytes_in: usize,
    /// Waiting for a thread or for the worker.
    waited: Duration,
    /// Reading, fetching, waiting, input, prediction and output.
    accounted: Duration,
    /// The bytes of the answer, or the refusal; `None` while neither is known.
    outcome: Option<Result<usize, Refusal>>,
    _in_flight: Counted,
}

impl<H: InferenceHandler> Account<H> {
    fn open(server: &Arc<ServerState<H>>, headers: &HeaderMap) -> Self {
        let line = LogLine {
            inference_id: text(headers, INFERENCE_ID_HEADER),
            traceparent: text(headers, "traceparent"),
            trace_id: text(headers, "x-amzn-trace-id"),
            ..LogLine::default()
        };
        Self {
            server: server.clone(),
            line,
            start: Instant::now(),
            request: None,
            bytes_in: 0,
            waited: Duration::ZERO,
            accounted: Duration::ZERO,
            outcome: None,
            _in_flight: Counted::new(&server.metrics.in_flight),
        }
    }
}

impl<H: InferenceHandler> Drop for Account<H> {
    fn drop(&mut self) {
        let (elapsed, metrics) = (self.start.elapsed(), &self.server.metrics);
        let (status, bytes_out, error) = match &self.outcome {
            Some(Ok(bytes)) => (Some(StatusCode::OK), *bytes, None),
            Some(Err(refusal)) => (Some(refusal.status), 0, Some(refusal.to_string())),
            None => (None, 0, None),
        };
        match status {
            Some(status) => metrics.answered(status),
            None => drop(metrics.abandoned.inc()),
        }
        let line = LogLine {
            bytes_in: self.bytes_in,
            bytes_out,
            status: status.map(|status| status.as_u16()),
            error,
            waited: self.waited,
            elapsed,
            ..std::mem::take(&mut self.line)
        };
        self.server.handler.log(self.request.as_deref(), &line);
        // Logging takes time too.
        if status == Some(StatusCode::OK) {
            metrics.waited(self.waited);
            metrics.overhead(self.start.elapsed().saturating_sub(self.accounted));
        }
    }
}
