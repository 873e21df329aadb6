//! How requests come in: from this machine only, and nothing of them without end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use hyper_util::rt::TokioTimer;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::aws_endpoint::refuse_foreign;

/// The largest head of a request: 64 KB, several times what an SDK sends with a presigned URL.
const MAX_HEAD: usize = 64 * 1024;
/// How long a connection may take for a request's head, and be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request may take, its body included: more than any function or model does in answering one.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(900);
/// Requests at once; more are told to come again.
const MAX_REQUESTS: usize = 1024;

/// Has a router answer no more than so many requests at once, and each within some time.
pub(crate) fn limited(router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::new(Semaphore::new(MAX_REQUESTS)), limit))
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    let router = router.layer(middleware::from_fn(refuse_foreign));
    let mut server = axum_server::from_tcp(listener.into_std()?)?.http1_only();
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
    server.serve(router.into_make_service()).await
}

async fn limit(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_place) = places.try_acquire() else {
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
        // Who refuses a head need not read it to its end.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        server.abort();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn heads_have_an_end_and_hosts_are_local() {
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
