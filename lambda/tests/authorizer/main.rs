//! authorizer against an issuer on this machine, with real keys and over the wire.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod issuer;

use std::io::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use issuer::{Answer, Issuer, json, public, signed, signed_by, signed_by_public_key, token};
use lambda::Clock;
use lambda::authorizer::{Authorizer, AuthorizerError, IssuerSettings, KeySetError, Refusal};
use lambda_runtime::Diagnostic;
use pipeline::{Owner, Timestamp};
use serde_json::{Value, json};

const METHOD: &str = "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3/v1/PUT/images/ada";

/// The function, with a clock that a test moves on.
struct Function {
    authorizer: Authorizer,
    passed: Arc<AtomicI64>,
}

impl Function {
    fn new(issuer: &Issuer) -> Self {
        let passed = Arc::new(AtomicI64::new(0));
        let seconds = Arc::clone(&passed);
        let clock = Clock::new(move || Timestamp::from_millis(1000 * seconds.load(Ordering::Relaxed)));
        let settings = IssuerSettings { issuer: issuer.name.clone(), audience: "portraits".to_owned() };
        Self { authorizer: Authorizer::new(settings, clock).unwrap(), passed }
    }

    fn wait(&self, seconds: i64) {
        self.passed.fetch_add(seconds, Ordering::Relaxed);
    }

    async fn ask(&self, authorization: &str) -> Result<Value, AuthorizerError> {
        let event = json!({"type": "TOKEN", "authorizationToken": authorization, "methodArn": METHOD});
        Ok(serde_json::to_value(self.authorizer.handle(event).await?).unwrap())
    }

    async fn refusal(&self, token: &str) -> Refusal {
        match self.ask(token).await.unwrap_err() {
            AuthorizerError::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    async fn fault(&self, token: &str) -> KeySetError {
        match self.ask(token).await.unwrap_err() {
            AuthorizerError::Keys(error) => error,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_good_token_names_its_owner_for_the_whole_stage() {
    let issuer = Issuer::start().await;
    let function = Function::new(&issuer);
    for subject in ["ann", "auth0|5f7c12", "ann@example.com", "../bob", &"x".repeat(200)] {
        let owner = Owner::of(subject).to_string();
        let wanted = json!({
            "principalId": owner,
            "policyDocument": {"Version": "2012-10-17", "Statement": [{
                "Action": "execute-api:Invoke",
                "Effect": "Allow",
                "Resource": "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3/v1/*",
            }]},
            "context": {"owner": owner},
        });
        let token = issuer.token(subject);
        for authorization in [format!("Bearer {token}"), format!("bearer {token}"), token] {
            assert_eq!(function.ask(&authorization).await.unwrap(), wanted, "{subject}");
        }
    }
    assert_eq!(issuer.documents().asked, 1, "the keys are kept");
}

#[tokio::test]
async fn the_audience_is_found_where_api_gateway_looks_for_it() {
    let issuer = Issuer::start().await;
    let function = Function::new(&issuer);
    let now = jiff::Timestamp::now().as_second();
    let mut claims = issuer.claims("ann");
    for (name, value) in [
        ("aud", json!(["others", "portraits"])),
        ("exp", json!(now - 10)),
        ("nbf", json!(now + 10)),
        ("aud", Value::Null),
    ] {
        claims[name] = value;
        claims["client_id"] = json!("portraits");
        assert!(function.ask(&signed("one", 0, &claims)).await.is_ok(), "{claims}");
    }
    let header = json!({"alg": "RS512", "kid": "one"});
    assert!(function.ask(&signed_by(&header, 0, &claims)).await.is_ok());
}

#[tokio::test]
async fn a_bad_token_is_refused_by_its_reason() {
    let issuer = Issuer::start().await;
    let function = Function::new(&issuer);
    let good = issuer.claims("ann");
    let now = jiff::Timestamp::now().as_second();
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed("one", 0, &claims)
    };
    let only_client = |client: &str| {
        let mut claims = good.clone();
        claims["aud"] = Value::Null;
        claims["client_id"] = json!(client);
        signed("one", 0, &claims)
    };
    let claim = |name: &str| Refusal::Claim(name.to_owned());
    let parts = issuer.token("ann");
    let parts: Vec<&str> = parts.split('.').collect();
    let others = issuer.token("bob");
    let others: Vec<&str> = others.split('.').collect();
    let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": "one"});
    for (token, wanted) in [
        (with("exp", json!(now - 40)), Refusal::Expired),
        (with("nbf", json!(now + 40)), Refusal::Early),
        (with("exp", Value::Null), claim("exp")),
        (with("exp", json!("soon")), claim("exp")),
        (with("nbf", json!("soon")), claim("nbf")),
        (with("aud", json!("others")), Refusal::Audience),
        (with("aud", json!(["others", "Portraits"])), Refusal::Audience),
        (with("aud", json!([])), Refusal::Audience),
        (only_client("others"), Refusal::Audience),
        (with("iss", json!(format!("{}/", issuer.name))), Refusal::Issuer),
        (with("iss", json!("https://issuer.example.com")), Refusal::Issuer),
        (with("sub", Value::Null), claim("sub")),
        (with("sub", json!("")), claim("sub")),
        // The claims of another token, and the signature of another key.
        (format!("{}.{}.{}", parts[0], others[1], parts[2]), Refusal::Signature),
        (signed("one", 1, &good), Refusal::Signature),
        (token(&header("RS256"), &good, |_| Vec::new()), Refusal::Signature),
        (signed_by_public_key(&good), Refusal::Algorithm),
        (token(&header("HS256"), &good, |_| b"secret".to_vec()), Refusal::Algorithm),
        (signed_by(&header("ES256"), 0, &good), Refusal::Algorithm),
        (signed_by(&header("PS256"), 0, &good), Refusal::Algorithm),
        (token(&header("none"), &good, |_| Vec::new()), Refusal::NoToken),
        (token(&header("None"), &good, |_| Vec::new()), Refusal::NoToken),
        (signed_by(&json!({"alg": "RS256"}), 0, &good), Refusal::NoKeyId),
        (format!("{}.{}", parts[0], parts[1]), Refusal::NoToken),
        ("Basic YW5uOnNlY3JldA==".to_owned(), Refusal::NoToken),
        (String::new(), Refusal::NoToken),
    ] {
        assert_eq!(function.refusal(&token).await, wanted, "{token}");
    }
    // A claim of the wrong type is no subject either.
    function.refusal(&with("sub", json!(7))).await;
    function.refusal(&with("iss", json!([issuer.name]))).await;
    assert_eq!(issuer.documents().asked, 1, "a bad token has the keys fetched");
    let error = function.ask(&with("exp", json!(1))).await.unwrap_err();
    assert_eq!(Diagnostic::from(error).error_message, "Unauthorized");
}

#[tokio::test]
async fn a_key_is_used_by_its_own_algorithm_alone() {
    let issuer = Issuer::start().await;
    let mut key = public("one", 0);
    key["alg"] = json!("RS512");
    issuer.documents().keys = json(&json!({"keys": [key]}));
    let function = Function::new(&issuer);
    assert_eq!(function.refusal(&issuer.token("ann")).await, Refusal::Algorithm);
}

#[tokio::test]
async fn a_new_key_is_fetched_and_strangers_cannot_have_it_fetched_often() {
    let issuer = Issuer::start().await;
    let function = Function::new(&issuer);
    function.ask(&issuer.token("ann")).await.unwrap();

    issuer.documents().keys = json(&json!({"keys": [public("one", 0), public("two", 1)]}));
    let new = signed("two", 1, &issuer.claims("ann"));
    for guess in 0..20 {
        let forged = signed(&format!("guess-{guess}"), 1, &issuer.claims("ann"));
        assert_eq!(function.refusal(&forged).await, Refusal::UnknownKey);
    }
    assert_eq!(function.refusal(&new).await, Refusal::UnknownKey);
    assert_eq!(issuer.documents().asked, 1, "within half a minute, an unknown key has the keys fetched");

    function.wait(30);
    function.ask(&new).await.unwrap();
    function.ask(&issuer.token("ann")).await.unwrap();
    for guess in 0..20 {
        function.refusal(&signed(&format!("guess-{guess}"), 1, &issuer.claims("ann"))).await;
    }
    assert_eq!(issuer.documents().asked, 2);
}

#[tokio::test]
async fn a_withdrawn_key_works_for_an_hour_at_most() {
    let issuer = Issuer::start().await;
    let function = Function::new(&issuer);
    function.ask(&issuer.token("ann")).await.unwrap();
    issuer.documents().keys = json(&json!({"keys": [public("two", 1)]}));
    function.wait(3599);
    function.ask(&issuer.token("ann")).await.unwrap();
    function.wait(1);
    assert_eq!(function.refusal(&issuer.token("ann")).await, Refusal::UnknownKey);
    function.ask(&signed("two", 1, &issuer.claims("ann"))).await.unwrap();
}

/// Lines of the log, as CloudWatch gets them.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_is_a_fault_and_is_asked_again() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let issuer = Issuer::start().await;
    let function = Function::new(&issuer);
    let up = std::mem::replace(&mut issuer.documents().keys, Answer::Body(503, Vec::new()));
    let token = issuer.token("ann");
    let fault = function.fault(&token).await.to_string();
    assert_eq!(fault, format!("{}/keys answered 503 Service Unavailable: 200 would work", issuer.name));
    assert!(matches!(function.fault(&token).await, KeySetError::FailedBefore));
    assert_eq!(issuer.documents().asked, 1);
    issuer.documents().keys = up;
    function.wait(5);
    function.ask(&token).await.unwrap();

    // With the old keys, tokens of known keys are good until the hour is over. Then nothing is known any more.
    issuer.documents().configuration = Answer::Body(500, Vec::new());
    function.wait(3599);
    function.ask(&token).await.unwrap();
    function.fault(&signed("two", 1, &issuer.claims("ann"))).await;
    function.wait(1);
    let error = function.ask(&token).await.unwrap_err();
    assert_ne!(Diagnostic::from(error).error_message, "Unauthorized");

    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (fields, level) = (&lines[0]["fields"], &lines[0]["level"]);
    assert_eq!((&fields["message"], level), (&json!("nothing can be said of the token"), &json!("ERROR")));
    assert_eq!(fields["error"], json!(format!("the keys of the issuer cannot be had: {fault}")));
    assert!(!format!("{lines:?}").contains(&token), "a line of the log has the token");
}

#[tokio::test]
async fn nobody_listening_is_a_fault() {
    let issuer = Issuer::start().await;
    let function = Function::new(&issuer);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let token = issuer.token("ann");
    issuer.documents().configuration = json(&json!({"issuer": issuer.name, "jwks_uri": name}));
    assert!(matches!(function.fault(&token).await, KeySetError::Unreachable { url, .. } if url == name));
}

#[tokio::test]
async fn a_slow_issuer_is_given_up() {
    let issuer = Issuer::start().await;
    issuer.documents().keys = Answer::Silence;
    let function = Function::new(&issuer);
    let started = Instant::now();
    let fault = function.fault(&issuer.token("ann")).await;
    assert!(matches!(&fault, KeySetError::Unreachable { source, .. } if source.is_timeout()), "{fault:?}");
    // The function itself has ten seconds.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test]
async fn documents_that_are_none_are_faults() {
    let issuer = Issuer::start().await;
    let function = Function::new(&issuer);
    let token = issuer.token("ann");
    let (good, keys) = {
        let documents = issuer.documents();
        (documents.configuration.clone(), documents.keys.clone())
    };
    let place = |keys: Answer| {
        function.wait(5);
        issuer.documents().keys = keys;
    };
    let mut huge = br#"{"keys": ["#.to_vec();
    huge.resize(300 << 10, b' ');
    place(Answer::Body(200, huge));
    assert!(matches!(function.fault(&token).await, KeySetError::TooLarge { .. }));
    place(Answer::Body(200, b"<html>".to_vec()));
    assert!(matches!(function.fault(&token).await, KeySetError::Unreadable { .. }));
    place(json(&json!({"keys": [{"kty": "oct", "kid": "one", "k": "AQAB"}]})));
    assert!(matches!(function.fault(&token).await, KeySetError::NoKeys { .. }));
    place(Answer::Redirect(format!("{}/keys", issuer.name)));
    assert!(matches!(function.fault(&token).await, KeySetError::Status { .. }));
    place(keys);
    let other = json!({"issuer": "https://issuer.example.com", "jwks_uri": format!("{}/keys", issuer.name)});
    issuer.documents().configuration = json(&other);
    let fault = function.fault(&token).await.to_string();
    assert!(fault.contains("\"https://issuer.example.com\", which is another issuer"), "{fault}");
    function.wait(5);
    issuer.documents().configuration = good;
    function.ask(&token).await.unwrap();
}

#[tokio::test]
async fn an_event_of_another_kind_is_no_refusal() {
    let issuer = Issuer::start().await;
    let function = Function::new(&issuer);
    for event in [
        json!({}),
        json!({"type": "TOKEN", "methodArn": METHOD}),
        json!({"type": "TOKEN", "authorizationToken": issuer.token("ann"), "methodArn": "v1/GET"}),
    ] {
        let error = function.authorizer.handle(event).await.unwrap_err();
        assert_eq!(Diagnostic::from(error).error_type, "UnreadableEvent");
    }
}
