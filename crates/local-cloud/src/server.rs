//! How requests come in: from this machine only, and within limits of size, time and number.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper_util::rt::TokioTimer;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// The largest head of a request: 64 KB, several times what an SDK sends with a presigned URL.
const MAX_HEAD: usize = 64 * 1024;
/// How long a connection may take to send a request's head, and how long it may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request may take, its body included: longer than any function or model takes to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(900);
/// The most concurrent requests. Further ones are refused with 503.
const MAX_REQUESTS: usize = 1024;

/// Limits the concurrent requests of a router, and the duration of each.
pub(crate) fn limited(router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::new(Semaphore::new(MAX_REQUESTS)), limit))
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    let router = router.layer(middleware::from_fn(refuse_foreign)).layer(middleware::map_response(dated));
    let mut server = axum_server::from_tcp(listener.into_std()?)?.http1_only();
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
    server.serve(router.into_make_service()).await
}

/// Writes the time of the answer. The server's own `Date` stands still when the machine's clock is set back, and SDKs set their
/// clocks by it.
async fn dated(mut response: Response) -> Response {
    let now = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(now) = HeaderValue::from_str(&now) {
        response.headers_mut().insert(header::DATE, now);
    }
    response
}

async fn limit(State(permits): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = permits.try_acquire() else {
        let message = format!("{MAX_REQUESTS} requests are under way: try again in a second");
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &message);
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("the request took more than {} seconds", REQUEST_TIMEOUT.as_secs());
            refusal(StatusCode::REQUEST_TIMEOUT, &message)
        }
    }
}

/// Refuses the requests that a web page of another site can make. Such a page may reach the loopback interface by a host name of
/// its own (DNS rebinding), or send a request that the browser marks as cross-site.
async fn refuse_foreign(request: Request, next: Next) -> Response {
    match foreign(request.headers()) {
        None => next.run(request).await,
        Some(message) => refusal(StatusCode::FORBIDDEN, &message),
    }
}

/// Why a request is refused as one of another site.
fn foreign(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    if !is_local(host) {
        return Some(format!("the host {host:?} is not served here: 127.0.0.1 and localhost are"));
    }
    let is_this_machine = |origin: &str| origin.split_once("://").is_some_and(|(_, host)| is_local(host));
    match text("origin") {
        // To a browser, `localhost` and 127.0.0.1 are different sites.
        Some(origin) if is_this_machine(origin) => None,
        Some(origin) => Some(format!("a page of {origin:?} has no business here")),
        None => (text("sec-fetch-site") == Some("cross-site"))
            .then(|| "a page of another site has no business here".to_owned()),
    }
}

/// Whether a host, with or without a port, can only be this machine.
fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "[::1]" | "localhost") || name.ends_with(".localhost")
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"message": message}))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn answer(head: &str) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, limited(Router::new().route("/", get(async || "served")))));
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A server that refuses a head need not read all of it.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        server.abort();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn heads_are_limited_and_hosts_are_local() {
        let head = |host: &str, more: usize| {
            format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nx-more: {}\r\n\r\n", "x".repeat(more))
        };
        assert!(answer(&head("localhost", 20_000)).await.ends_with("served"));
        assert!(answer(&head("localhost", 2 * MAX_HEAD)).await.starts_with("HTTP/1.1 431"));
        assert!(answer(&head("evil.example", 0)).await.starts_with("HTTP/1.1 403"));
        let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
        assert!(answer(&format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n")).await.starts_with("HTTP/1.1 431"));
    }
}
