//! A client shows the result of its own upload, whatever job its id had before. S3's events are late here.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{BINARY, Up, picture, run};

/// Every event of an upload comes late, by up to two seconds.
const LATE: [&str; 2] = ["--chaos", "seed=3,delay-event=1,delay-seconds=2"];

/// Sends a photograph under the id `ada`, and checks that the answer has these ages and as many files.
fn send(folder: &Path, up: &Up, photo: &str, ages: Option<&str>, expected: &[u8]) -> (Value, String) {
    let mut arguments = vec!["send", photo, "--id", "ada", "--api", &up.api, "--json", "--no-animation"];
    arguments.extend(ages.iter().flat_map(|ages| ["--ages", ages]));
    let output = run(folder, &arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let job = line["jobs"][0].clone();
    assert_eq!((&job["status"], &job["ages"]), (&json!("SUCCESS"), &json!(expected)), "{job}");
    assert_eq!(job["files"].as_array().unwrap().len(), expected.len() + 2, "{job}");
    let strip = std::fs::read(folder.join("out/ada/strip.npy")).unwrap();
    assert_eq!(strip.len(), 128 + 1024 * 1024 * 3 * (1 + expected.len()));
    (job, said)
}

#[test]
fn send_waits_for_the_photograph_and_the_ages_that_it_sent() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &[&LATE[..], &["--ages", "70,30"]].concat());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("one.png"), picture(1)).unwrap();
    std::fs::write(folder.join("two.png"), picture(2)).unwrap();
    let replaces = "ada: replaces the job of ";
    let (_, said) = send(folder, &up, "one.png", Some("30"), &[30]);
    assert!(!said.contains(replaces), "{said}");
    let (_, said) = send(folder, &up, "one.png", Some("20,40,60"), &[20, 40, 60]);
    assert!(said.contains(replaces) && said.contains(" with the ages 30, SUCCESS; another --id keeps it"), "{said}");
    assert!(said.find(replaces) < said.find("ada: uploading"), "{said}");
    // The pipeline's own ages, then named ones again.
    send(folder, &up, "one.png", None, &[70, 30]);
    let (named, _) = send(folder, &up, "one.png", Some("30"), &[30]);
    // The same photograph with the same ages is the same job.
    let (again, said) = send(folder, &up, "one.png", Some("30"), &[30]);
    assert_eq!(again["createdAt"], named["createdAt"]);
    assert!(!said.contains(replaces), "{said}");
    let strip = std::fs::read(folder.join("out/ada/strip.npy")).unwrap();
    let (other, said) = send(folder, &up, "two.png", Some("30"), &[30]);
    assert!(said.contains(replaces), "{said}");
    assert_ne!((&other["etag"], &other["revision"]), (&named["etag"], &named["revision"]));
    assert_ne!(std::fs::read(folder.join("out/ada/strip.npy")).unwrap(), strip);
    // Ages that are named as the pipeline's own are the same job as those.
    send(folder, &up, "two.png", None, &[70, 30]);
    send(folder, &up, "two.png", Some("70,30"), &[70, 30]);
    assert_eq!(up.hops("InvokeEndpointAsync"), 6);
}

#[test]
fn a_photograph_that_fails_again_fails_with_its_own_job() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &LATE);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.png"), &picture(3)[..5000]).unwrap();
    let mut created = Vec::new();
    for _ in 0..2 {
        let output = run(folder.path(), &["send", "broken.png", "--api", &up.api, "--json"]);
        assert_eq!(output.status.code(), Some(1));
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(line["jobs"][0]["error"]["code"], "CORRUPT_IMAGE", "{line}");
        created.push(line["jobs"][0]["createdAt"].clone());
    }
    assert_ne!(created[0], created[1]);
}

#[test]
fn the_pipeline_says_which_ages_an_upload_gets() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &["--ages", "50"]);
    let ages = |query: &'static str| {
        let url = format!("{}/uploads/ada{query}", up.api);
        async {
            let answer = reqwest::Client::new().post(url).send().await.unwrap();
            answer.json::<Value>().await.unwrap()
        }
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let own = runtime.block_on(ages(""));
    assert_eq!(own["ages"], json!([50]), "{own}");
    let named = runtime.block_on(ages("?ages=20,%2040"));
    assert_eq!((&named["ages"], &named["headers"]), (&json!([20, 40]), &json!({"x-amz-meta-ages": "20,40"})));
}

#[test]
fn several_clients_of_one_id_get_their_own_pictures_or_none() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &LATE);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.png"), picture(1)).unwrap();
    let clients: Vec<_> = ["30", "20,40", "70"]
        .map(|ages| {
            let arguments =
                ["send", "one.png", "--id", "ada", "--json", "--no-animation", "--ages", ages, "--out", ages];
            let mut command = std::process::Command::new(BINARY);
            command.args(arguments).args(["--api", &up.api]).current_dir(folder.path());
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            (ages, command.spawn().unwrap())
        })
        .into_iter()
        .collect();
    let mut served = 0;
    for (ages, client) in clients {
        let output = client.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            served += 1;
            let line: Value = serde_json::from_slice(&output.stdout).unwrap();
            let listed = ages.split(',').map(|age| age.parse::<u8>().unwrap()).collect::<Vec<_>>();
            assert_eq!(line["jobs"][0]["ages"], json!(listed));
        } else {
            assert!(said.contains("a newer upload under the id ada took the place of this one"), "{said}");
        }
    }
    assert!(served >= 1);
}

#[tokio::test]
async fn a_strip_that_is_no_longer_kept_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ada.png"), picture(1)).unwrap();
    let up = Up::start();
    let send = |out: &str| {
        let output = run(folder.path(), &["send", "ada.png", "--api", &up.api, "--ages", "60", "--out", out]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        let is_there = |name: &str| folder.path().join(out).join(name).exists();
        (said, ["0.jpg", "1.jpg", "animation.gif", "strip.npy"].map(is_there))
    };
    assert_eq!(send("with").1, [true; 4]);
    let job = up.json("/jobs/ada").await;
    let key = format!("images/ada/{}/strip.npy", job["revision"].as_str().unwrap());
    up.s3().await.delete_object().bucket("time-traveler").key(key).send().await.unwrap();
    let (said, there) = send("without");
    assert_eq!(there, [true, true, true, false]);
    assert!(said.contains("ada: the strip is no longer kept"), "{said}");
}
