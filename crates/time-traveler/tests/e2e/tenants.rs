//! Two tenants of one pipeline, over the wire: neither can list, read, overwrite or delete the other's portraits by any route.

use std::path::Path;
use std::process::Command;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::{BINARY, Up, picture, run, sample};

/// A token of the data folder's pipeline.
fn token(data: &Path, options: &[&str]) -> String {
    let data = data.to_str().unwrap();
    let printed = run(Path::new("."), &[&["token", "--data", data], options].concat());
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    String::from_utf8(printed.stdout).unwrap().trim().to_owned()
}

/// Somebody with a token.
struct Tenant<'a> {
    up: &'a Up,
    token: String,
}

impl Tenant<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.up.http.request(method, format!("{}{path}", self.up.api)).bearer_auth(&self.token)
    }

    async fn ask(&self, method: Method, path: &str) -> (StatusCode, Value) {
        let answer = self.request(method, path).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn status(&self, method: Method, path: &str) -> StatusCode {
        self.ask(method, path).await.0
    }

    async fn job(&self, id: &str) -> Value {
        self.ask(Method::GET, &format!("/jobs/{id}?wait=20")).await.1
    }

    async fn put(&self, path: &str, picture: Vec<u8>) -> StatusCode {
        self.request(Method::PUT, path).body(picture).send().await.unwrap().status()
    }

    async fn listed(&self, query: &str) -> Vec<String> {
        let (status, page) = self.ask(Method::GET, &format!("/jobs{query}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let jobs = page["jobs"].as_array().unwrap();
        let mut ids: Vec<String> = jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }

    /// The bytes of a picture, or the status of the refusal.
    async fn picture(&self, path: &str) -> Result<Vec<u8>, StatusCode> {
        let answer = self.request(Method::GET, path).send().await.unwrap();
        if answer.status().is_success() { Ok(answer.bytes().await.unwrap().to_vec()) } else { Err(answer.status()) }
    }
}

/// `ann` has `ada` and `eve`, `bob` has `ada` and `bea`, all with pictures.
async fn two(up: &Up, data: &Path) -> [String; 2] {
    let tokens = [token(data, &["ann"]), token(data, &["bob"])];
    let [ann, bob] = tokens.clone().map(|token| Tenant { up, token });
    for (tenant, id, seed) in [(&ann, "ada", 1), (&ann, "eve", 2), (&bob, "ada", 3), (&bob, "bea", 4)] {
        assert_eq!(tenant.put(&format!("/images/{id}?ages=30"), picture(seed)).await, StatusCode::OK);
    }
    for (tenant, id) in [(&ann, "ada"), (&ann, "eve"), (&bob, "ada"), (&bob, "bea")] {
        assert_eq!(tenant.job(id).await["status"], "SUCCESS");
    }
    tokens
}

fn images(job: &Value) -> Vec<String> {
    let images = job["images"].as_array().unwrap().iter();
    images.map(|image| image["path"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn neither_tenant_lists_or_reads_the_others_portraits() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &["--tenancy", "owner"]);
    let [ann, bob] = two(&up, data.path()).await.map(|token| Tenant { up: &up, token });
    assert_eq!(
        (ann.listed("").await, bob.listed("").await),
        (vec!["ada".into(), "eve".into()], vec!["ada".into(), "bea".into()])
    );
    for query in ["?status=SUCCESS", "?limit=100"] {
        assert_eq!(bob.listed(query).await, ["ada", "bea"], "{query}");
    }

    // A page's end leads to one's own next page only.
    let (_, page) = ann.ask(Method::GET, "/jobs?limit=1").await;
    let rest = bob.listed(&format!("?cursor={}", page["cursor"].as_str().unwrap())).await;
    assert!(!rest.contains(&"eve".to_owned()), "{rest:?}");

    // The same id has two jobs, two revisions and two pictures.
    let jobs = [ann.job("ada").await, bob.job("ada").await];
    assert_ne!(jobs[0]["revision"], jobs[1]["revision"]);
    for (n, (theirs, mine)) in images(&jobs[0]).iter().zip(images(&jobs[1])).enumerate() {
        assert_ne!(ann.picture(theirs).await.unwrap(), bob.picture(&mine).await.unwrap(), "picture {n}");
        assert_eq!(bob.picture(theirs).await, Err(StatusCode::NOT_FOUND));
    }
    let eve = ann.job("eve").await;
    assert_eq!(bob.status(Method::GET, "/jobs/eve").await, StatusCode::NOT_FOUND);
    let strip = images(&eve)[0].replace("0.jpg", "strip.npy");
    assert!(ann.picture(&strip).await.is_ok());
    for path in images(&eve).iter().chain([&strip]) {
        assert_eq!(bob.picture(path).await, Err(StatusCode::NOT_FOUND), "{path}");
        let of_ann = path.trim_start_matches("/images/");
        for written in ["ann/", "ann%2F", "..%2Fann%2F", "%2E%2E/ann/", "{owner}%2F", "bob%2F..%2Fann%2F", "%2Fann%2F"]
        {
            let spelled = format!("/images/{written}{of_ann}");
            let refused = bob.picture(&spelled).await.unwrap_err();
            // A path with one more part is the greedy one of uploads, which has no GET.
            let refusals = [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST, StatusCode::METHOD_NOT_ALLOWED];
            assert!(refusals.contains(&refused), "{spelled}: {refused}");
        }
    }

    // Nothing that a client writes makes it another's.
    for written in ["ann%2Feve", "..%2Fann%2Feve", "bob%2F..%2Fann%2Feve", "%7Bowner%7D%2Feve"] {
        let status = bob.status(Method::GET, &format!("/jobs/{written}")).await;
        assert!([StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST].contains(&status), "{written}: {status}");
    }
    for query in ["owner=ann", "owner=bob", "owner="] {
        assert_eq!(bob.status(Method::GET, &format!("/jobs?{query}")).await, StatusCode::FORBIDDEN, "{query}");
        assert_eq!(bob.status(Method::GET, &format!("/jobs/eve?{query}")).await, StatusCode::FORBIDDEN, "{query}");
    }
    for (name, value) in [("owner", "ann"), ("x-owner", "ann"), ("sub", "ann"), ("x-amzn-oidc-identity", "ann")] {
        let asked = bob.request(Method::GET, "/jobs/eve").header(name, value).send().await.unwrap();
        assert_eq!(asked.status(), StatusCode::NOT_FOUND, "{name}");
    }
}

#[tokio::test]
async fn neither_tenant_overwrites_or_deletes_the_others_portraits() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &["--tenancy", "owner"]);
    let [ann, bob] = two(&up, data.path()).await.map(|token| Tenant { up: &up, token });
    let before = [ann.job("ada").await, ann.job("eve").await];

    for written in ["ann%2Fada", "ann/ada", "..%2Fann%2Fada", "%7Bowner%7D%2Fada"] {
        let status = bob.put(&format!("/images/{written}"), picture(5)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{written}");
    }
    // The owner of a presigned upload is signed.
    let (status, signed) = bob.ask(Method::POST, "/uploads/eve?ages=30").await;
    assert_eq!(status, StatusCode::OK);
    let url = signed["url"].as_str().unwrap();
    assert!(url.contains("/uploads/bob/eve?"), "{url}");
    let upload = |url: String| up.http.put(url).header("x-amz-meta-ages", "30").body(picture(6)).send();
    let status = upload(url.replace("/uploads/bob/eve", "/uploads/ann/eve")).await.unwrap().status();
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(upload(url.to_owned()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(bob.job("eve").await["status"], "SUCCESS");
    for path in ["/uploads/ann%2Feve", "/uploads/ada?owner=ann"] {
        let status = bob.status(Method::POST, path).await;
        assert!([StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN].contains(&status), "{path}: {status}");
    }

    for path in ["/jobs/ann%2Fada", "/jobs/..%2Fann%2Fada"] {
        assert_eq!(bob.status(Method::DELETE, path).await, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(bob.status(Method::DELETE, "/jobs/ada?owner=ann").await, StatusCode::FORBIDDEN);
    for id in ["ada", "eve"] {
        assert_eq!(bob.status(Method::DELETE, &format!("/jobs/{id}")).await, StatusCode::NO_CONTENT);
        assert_eq!(bob.status(Method::DELETE, &format!("/jobs/{id}")).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(bob.listed("").await, ["bea"]);
    assert_eq!([ann.job("ada").await, ann.job("eve").await], before);
    for path in before.iter().flat_map(images) {
        assert!(ann.picture(&path).await.is_ok(), "{path}");
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_token() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &["--tenancy", "owner"]);
    let [ann, _] = two(&up, data.path()).await.map(|token| Tenant { up: &up, token });
    let picture_path = images(&ann.job("eve").await)[0].clone();
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = token(elsewhere.path(), &["ann"]);
    let altered = {
        let parts: Vec<&str> = ann.token.split('.').collect();
        format!("{}.{}.{}", parts[0], foreign.split('.').nth(1).unwrap(), parts[2])
    };
    for (method, path) in [
        (Method::GET, "/jobs"),
        (Method::GET, "/jobs/eve"),
        (Method::DELETE, "/jobs/eve"),
        (Method::POST, "/uploads/eve"),
        (Method::PUT, "/images/eve"),
        (Method::GET, picture_path.as_str()),
        (Method::HEAD, picture_path.as_str()),
    ] {
        let asked = || up.http.request(method.clone(), format!("{}{path}", up.api));
        let refused = asked().send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        for bad in [&foreign, &altered, "ann"] {
            let refused = asked().bearer_auth(bad).send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
    // The site is for everybody, and says nothing of anybody.
    for path in ["/", "/app.js", "/metrics"] {
        let text = up.get(path).await.text().await.unwrap();
        assert!(!text.contains("\"ann\"") && !text.contains("ann/"), "{path}");
    }
    assert_eq!(ann.listed("").await, ["ada", "eve"]);
}

/// An administrator sees and deletes jobs in place of their owner, and gets no picture.
#[tokio::test]
async fn an_administrator_names_an_owner() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &["--tenancy", "owner"]);
    let [ann, bob] = two(&up, data.path()).await.map(|token| Tenant { up: &up, token });
    let admin = Tenant { up: &up, token: token(data.path(), &["--admin", "root"]) };
    assert_eq!(admin.listed("").await, Vec::<String>::new());
    assert_eq!(admin.listed("?owner=ann").await, ["ada", "eve"]);
    let job = admin.ask(Method::GET, "/jobs/eve?owner=ann").await.1;
    assert_eq!(job, ann.job("eve").await);
    assert_eq!(admin.picture(&images(&job)[0]).await, Err(StatusCode::NOT_FOUND));
    assert_eq!(admin.status(Method::DELETE, "/jobs/eve?owner=ann").await, StatusCode::NO_CONTENT);
    assert_eq!(admin.status(Method::DELETE, "/jobs/bea").await, StatusCode::NOT_FOUND);
    assert_eq!((ann.listed("").await, bob.listed("").await), (vec!["ada".into()], vec!["ada".into(), "bea".into()]));
}

/// A subject with any characters has one folder of its own, and the command line works with its token.
#[tokio::test]
async fn a_subject_of_any_characters_has_a_folder_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &["--tenancy", "owner"]);
    let name = "../ann ada@example.com/é";
    let out = data.path().join("out");
    let sent = Command::new(BINARY)
        .args(["send", "--api", &up.api, "--ages", "30", "--out"])
        .args([out.as_path(), &sample()])
        .env("TIME_TRAVELER_TOKEN", token(data.path(), &[name]))
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    assert!(out.join("1.jpg").is_file());
    let owner = pipeline::Owner::of(name);
    let keys = up.s3().await.list_objects_v2().bucket("portraits").send().await.unwrap();
    let keys: Vec<&str> = keys.contents().iter().map(|object| object.key().unwrap()).collect();
    assert_eq!(keys[keys.len() - 1], format!("uploads/{owner}/astronaut"), "{keys:?}");
    let dynamodb = aws_sdk_dynamodb::Client::new(&up.sdk_config().await);
    let items = dynamodb.scan().table_name("jobs").send().await.unwrap().items.unwrap();
    let text = |name: &str| items[0][name].as_s().unwrap().clone();
    assert_eq!((text("id"), text("shard")), (format!("{owner}/astronaut"), format!("owner#{owner}")));

    // Without a token, the command line says what is missing.
    let sent = Command::new(BINARY).args(["send", "--api", &up.api]).arg(sample()).output().unwrap();
    assert!(!sent.status.success());
    let said = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert!(said.contains("401") || said.contains("TIME_TRAVELER_TOKEN"), "{said}");
    let shown = json!(up.log()).to_string();
    assert!(!shown.contains("starts no job"), "{shown}");
}

#[tokio::test]
async fn an_owner_has_as_many_portraits_a_day_as_the_quota_says() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_in_with(data.path(), ("DAILY_QUOTA", "2"), &["--tenancy", "owner"]);
    let [ann, bob] = ["ann", "bob"].map(|name| Tenant { up: &up, token: token(data.path(), &[name]) });
    let made = async |tenant: &Tenant<'_>, id: &str, body: Vec<u8>| {
        assert_eq!(tenant.put(&format!("/images/{id}?ages=30"), body).await, StatusCode::OK);
        let job = tenant.job(id).await;
        job["error"]["code"].as_str().map_or_else(|| job["status"].as_str().unwrap().to_owned(), str::to_owned)
    };
    assert_eq!(made(&ann, "one", picture(1)).await, "SUCCESS");
    // What the model does not get is not counted: no picture, and the same again.
    assert_eq!(made(&ann, "none", b"hello".to_vec()).await, "UNSUPPORTED_IMAGE");
    assert_eq!(made(&ann, "one", picture(1)).await, "SUCCESS");
    assert_eq!(made(&ann, "two", picture(2)).await, "SUCCESS");
    assert_eq!(made(&ann, "three", picture(3)).await, "QUOTA_EXCEEDED");
    assert_eq!(up.hops("InvokeEndpointAsync"), 2);
    let message = ann.job("three").await["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("2 portraits were made today") && message.contains("midnight (UTC)"), "{message}");
    // A deletion gives nothing back, and another owner has a quota of one's own.
    assert_eq!(ann.status(Method::DELETE, "/jobs/two").await, StatusCode::NO_CONTENT);
    assert_eq!(made(&ann, "four", picture(4)).await, "QUOTA_EXCEEDED");
    assert_eq!(made(&bob, "one", picture(5)).await, "SUCCESS");
    assert_eq!(ann.listed("?status=SUCCESS").await, ["one"]);
}
