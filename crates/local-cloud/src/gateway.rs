//! The gateway for clients: a REST API proxied to S3, an HTTP API proxied to functions, a web site, metrics and health, at one address.

mod access_log;
mod authorizer;
pub(crate) mod cors;
mod http_api;
mod path;
mod rest_api;
mod site;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use serde_json::json;

use crate::health;
use crate::metrics::{self, Measured};
use crate::services::Services;
use crate::stack::{HttpRoute, Parameters, Refusal, S3Integration, Stack};
use crate::tokens::Tokens;
use access_log::{AccessLog, Asked};
use authorizer::Gate;
use path::Template;
use site::Site;

/// What the gateway says of itself, where no route of the stack has the path.
enum Own {
    Metrics,
    Health,
}

impl Own {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/metrics" => Some(Self::Metrics),
            "/health" => Some(Self::Health),
            _ => None,
        }
    }
}

enum Target {
    S3(S3Integration),
    Function(HttpRoute),
}

/// The routes of both APIs, and the web site.
pub(crate) struct Gateway {
    site: Site,
    routes: Vec<(Method, Template, Target)>,
    gate: Option<Gate>,
    log: AccessLog,
    services: Arc<Services>,
    measured: Measured,
}

impl Gateway {
    /// `tokens`: those of the stack's authorizer; `logs`: the folder of the access log.
    pub(crate) fn new(
        stack: &Stack,
        tokens: Option<Tokens>,
        logs: &Path,
        services: Arc<Services>,
        measured: Measured,
    ) -> Self {
        let to_s3 =
            stack.rest_api.iter().cloned().map(|route| (route.method.clone(), route.path.clone(), Target::S3(route)));
        let to_functions = stack
            .http_api
            .iter()
            .cloned()
            .map(|route| (route.method.clone(), route.path.clone(), Target::Function(route)));
        let routes = to_s3.chain(to_functions).map(|(method, path, target)| (method, Template::new(&path), target));
        let gate = stack.authorizer.clone().zip(tokens).map(|(authorizer, tokens)| Gate::new(authorizer, tokens));
        Self {
            site: Site::new(&stack.site),
            routes: routes.collect(),
            gate,
            log: AccessLog::new(logs),
            services,
            measured,
        }
    }
}

/// Answers a request of a client.
pub(crate) async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    if let Some(response) = gateway.site.answer(&request) {
        return response;
    }
    let path = request.uri().path().to_owned();
    let mut allowed = Vec::new();
    // As in API Gateway, the resource is found first, then the method. A greedy resource is found only if no other matches.
    let fits = |greedy| {
        gateway
            .routes
            .iter()
            .any(|(_, template, _)| template.is_greedy() == greedy && template.matches(&path).is_some())
    };
    let greedy = !fits(false);
    for (method, template, target) in gateway.routes.iter().filter(|(_, template, _)| template.is_greedy() == greedy) {
        let Some(path) = template.matches(&path) else { continue };
        let head = request.method() == Method::HEAD && method == Method::GET;
        if request.method() != method && !head {
            allowed.push(method.as_str());
            continue;
        }
        let asked = Asked::new(request.method(), template);
        let mut caller = match gateway.gate.as_ref().map(|gate| gate.admit(request.headers())).transpose() {
            Ok(caller) => caller.unwrap_or_default(),
            Err(refusal) => {
                return gateway.log.answered(asked, authorizer::refused(refusal));
            }
        };
        let Ok(Query(query)) = Query::<Vec<(String, String)>>::try_from_uri(request.uri()) else {
            let body = json!({"message": "the query cannot be read: name=value pairs would work"});
            return gateway.log.answered(asked, Refusal { status: StatusCode::BAD_REQUEST, body }.into_response());
        };
        caller.request.clone_from(&asked.request);
        let mut parameters = Parameters { path, query: BTreeMap::new() };
        for (name, value) in query {
            let joined = parameters.query.entry(name).or_default();
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(&value);
        }
        let response = match target {
            Target::S3(integration) => {
                rest_api::proxy(&gateway.services.s3, integration, &parameters, &caller, request).await
            }
            Target::Function(route) => {
                http_api::proxy(&gateway.services, route, template, parameters, &caller, request).await
            }
        };
        return gateway.log.answered(asked, response);
    }
    if let Some(own) = Own::at(&path) {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            allowed.push("GET");
        } else {
            return match own {
                Own::Metrics => metrics::answer(&gateway.services, &gateway.measured).await,
                Own::Health => health::answer(&gateway.services, &gateway.measured),
            };
        }
    }
    if allowed.is_empty() {
        let mut routes: Vec<String> =
            gateway.routes.iter().map(|(method, template, _)| format!("{method} {template}")).collect();
        routes.extend(["GET /metrics", "GET /health"].map(str::to_owned));
        let body = json!({"message": format!("there is nothing at {path:?}"), "routes": routes});
        return Refusal { status: StatusCode::NOT_FOUND, body }.into_response();
    }
    let message = format!("{} is not allowed at {path:?}: {} would work", request.method(), allowed.join(", "));
    let refusal = Refusal { status: StatusCode::METHOD_NOT_ALLOWED, body: json!({"message": message}) };
    ([(header::ALLOW, allowed.join(", "))], refusal).into_response()
}
