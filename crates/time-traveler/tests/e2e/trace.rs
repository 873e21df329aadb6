//! A portrait's way is read from the logs, by one id from the upload to the picture.

use serde_json::Value;

use crate::support::{Up, picture, run};

#[tokio::test]
async fn a_portraits_way_is_shown_from_its_upload_to_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let up = Up::start_over(&data);
    let put = up.put("/images/ada?ages=30", picture(1)).await;
    let request = put.headers()["x-amzn-requestid"].to_str().unwrap().to_owned();
    assert_eq!(up.settled("ada").await["status"], "SUCCESS");
    assert_eq!(up.send("adam", picture(2)).await["status"], "SUCCESS");
    // The last line is written a moment after the record.
    let steps = loop {
        let traced = run(folder.path(), &["trace", "ada", "--data", "data", "--json"]);
        assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stderr));
        let lines = String::from_utf8(traced.stdout).unwrap();
        let steps: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if steps.iter().any(|step| step["fields"]["message"] == "split") {
            break steps;
        }
    };
    let said = |step: &Value| {
        (step["part"].as_str().unwrap().to_owned(), step["fields"]["message"].as_str().unwrap().to_owned())
    };
    let named: Vec<(String, String)> = steps.iter().map(said).collect();
    for (part, message) in [
        ("api-access", "answered"),
        ("image-processor", "accepted"),
        ("image-processor", "invoked"),
        ("image-processor", "split"),
    ] {
        let found = steps.iter().find(|step| said(step) == (part.to_owned(), message.to_owned()));
        let found = found.unwrap_or_else(|| panic!("no {message} of {part}: {named:?}"));
        assert_eq!(found["fields"]["request"], request.as_str(), "{message}");
    }
    assert!(named.iter().any(|(part, message)| part.contains("face-aging") && message == "invocation"), "{named:?}");
    let times: Vec<i64> = steps.iter().map(|step| step["ms"].as_i64().unwrap()).collect();
    assert!(times[0] == 0 && times.is_sorted(), "{times:?}");
    assert!(steps.iter().all(|step| !step.to_string().contains("adam")), "{steps:?}");

    let shown = run(folder.path(), &["trace", "ada", "--data", "data"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!("request {request}")) && shown.contains("split"), "{shown}");
    let none = run(folder.path(), &["trace", "nobody", "--data", "data"]);
    let none = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(none.contains("names nobody") && none.contains("--data"), "{none}");
}
