//! The command line, run as its users run it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{BINARY, Up, picture, repository, run, sample};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn check_pictures(folder: &Path, panels: usize) {
    for n in 0..panels {
        let picture = image::open(folder.join(format!("{n}.jpg"))).unwrap();
        assert_eq!((picture.width(), picture.height()), (1024, 1024));
    }
    assert!(!folder.join(format!("{panels}.jpg")).exists());
    let strip = std::fs::read(folder.join("strip.npy")).unwrap();
    assert_eq!(strip.len(), 128 + 1024 * 1024 * 3 * panels);
}

#[test]
fn demo_shows_each_hop_and_writes_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["demo", sample().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let hops = stderr(&output);
    let order = ["PutObject", "Object Created", "InvokeEndpointAsync", "Invocation ", "Publish", "/4.jpg", "SUCCESS"];
    for hop in order {
        assert!(hops.contains(hop), "no {hop} in {hops}");
    }
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains("in the model (preview)") && stdout.contains("in the pipeline"), "{stdout}");
    check_pictures(&folder.path().join("out/astronaut"), 5);
}

#[test]
fn demo_without_a_photo_takes_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["demo", "--ages", "60", "--no-animation"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    check_pictures(&folder.path().join("out/astronaut"), 2);
}

#[test]
fn the_tour_explains_every_hop_and_ends_with_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["tour", "--ages", "60"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let hops: Vec<&str> = said.lines().filter(|line| line.contains(" ms  ")).collect();
    let order = [
        "PUT ",
        "Object Created",
        "PutObject",
        "image-processor",
        "/jobs/astronaut",
        "InvokeEndpointAsync",
        "Invocation ",
        "Publish",
        "/0.jpg",
        "SUCCESS",
        "files",
    ];
    assert_eq!(hops.len(), order.len(), "{said}");
    for (hop, word) in hops.iter().zip(order) {
        assert!(hop.contains(word), "{hop}: no {word}");
    }
    assert!(said.contains("The engine preview draws the ages"), "{said}");
    assert!(said.trim_end().lines().last().unwrap().starts_with("The page: http://127.0.0.1:"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the tour leaves nothing behind");
    let output = run(folder.path(), &["tour", "gone.jpg"]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("gone.jpg"));
}

#[test]
fn a_file_that_is_no_picture_keeps_no_other_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a-note.jpg"), "text").unwrap();
    std::fs::write(folder.path().join("face.jpg"), picture(1)).unwrap();
    let up = Up::start();
    for command in ["send", "demo"] {
        let api: &[&str] = if command == "send" { &["--api", &up.api] } else { &[] };
        let files = ["a-note.jpg", "face.jpg", "gone.jpg"];
        let output = run(folder.path(), &[&[command], &files[..], &["--ages", "60", "--out", command], api].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("a-note.jpg is no picture") && said.contains("gone.jpg cannot be read"), "{said}");
        check_pictures(&folder.path().join(command).join("face"), 2);
    }
}

#[test]
fn an_unknown_fault_in_a_plan_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["up", "--chaos", "seed=7,drop-notices=0.1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("there is no fault \"drop-notices\"") && stderr(&output).contains("drop-notice,"));
}

#[test]
fn age_makes_the_same_pictures_with_no_cloud() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["age", sample().to_str().unwrap(), "--ages", "70", "--out", "x", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&line["model"], &line["ages"][0]), (&Value::from("preview"), &Value::from(70)));
    check_pictures(&folder.path().join("x"), 2);
}

#[test]
fn faces_are_listed_and_the_largest_is_cut_out() {
    let folder = tempfile::tempdir().unwrap();
    let photo = sample();
    let arguments = ["faces", photo.to_str().unwrap(), "--align", "crop.png", "--size", "300", "--json"];
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [face] = &line["faces"].as_array().unwrap()[..] else { panic!("{line}") };
    let number = |key: &str| face[key].as_f64().unwrap();
    assert!(number("score") > 0.0 && number("filter") >= 0.0);
    assert!((150.0..200.0).contains(&number("left")) && (250.0..300.0).contains(&number("right")), "{face}");
    assert!((60.0..110.0).contains(&number("top")) && (150.0..200.0).contains(&number("bottom")), "{face}");
    let landmarks = face["landmarks"].as_array().unwrap();
    assert!(landmarks.len() == 68 && landmarks.iter().all(|point| point[0].is_i64() && point[1].is_i64()));
    let crop = image::open(folder.path().join("crop.png")).unwrap();
    assert_eq!((crop.width(), crop.height()), (300, 300));

    // An aligned picture is used unchanged.
    let output = run(folder.path(), &["age", "crop.png", "--aligned", "--ages", "60"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    check_pictures(&folder.path().join("out/crop"), 2);

    let listed = run(folder.path(), &["faces", "crop.png", "--upsample", "0"]);
    assert!(String::from_utf8_lossy(&listed.stdout).starts_with("1 face found in 300 x 300 pixels\n"));
    let nothing = run(folder.path(), &["faces", "crop.png", "--threshold", "50", "--json"]);
    assert_eq!((nothing.status.code(), nothing.stdout.as_slice()), (Some(0), &b"{\"faces\":[]}\n"[..]));
}

#[test]
fn bench_measures_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["bench", "face", "--runs", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let times = line["milliseconds"].as_object().unwrap();
    assert!(times.len() == 5 && times.values().all(|time| time.as_f64().unwrap() > 0.0), "{line}");
    let output = run(folder.path(), &["bench", "preview", "--runs", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let times = line["milliseconds"].as_object().unwrap();
    assert!(times.len() == 6 && times.values().all(|time| time.as_f64().unwrap() > 0.0), "{line}");
    let output = run(folder.path(), &["bench", "detector", "--size", "70x50", "--runs", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    for what in ["detect", "forward"] {
        assert!(line["milliseconds"][what].as_f64().unwrap() > 0.0, "{line}");
        assert!(!cfg!(target_os = "linux") || line["processorMilliseconds"][what].is_number(), "{line}");
    }
    assert_eq!((&line["network"], &line["size"]), (&"RetinaNetMobileNetV1".into(), &serde_json::json!([70, 50])));
    let refused = run(folder.path(), &["bench", "detector", "--size", "70"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("such as 640x480"), "{}", stderr(&refused));
}

#[test]
fn bench_measures_networks_that_find_objects() {
    let folder = tempfile::tempdir().unwrap();
    let measured = |arguments: &[&str]| -> Value {
        let output = run(folder.path(), &[&["bench", "objects", "--runs", "1", "--json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    // Of made-up weights, every anchor has a score, and the best hundred are detections.
    let line = measured(&["--size", "70x50"]);
    assert_eq!((&line["network"], &line["size"]), (&"SSD on MobileNetV2".into(), &serde_json::json!([70, 50])));
    assert_eq!(line["detections"], 100, "{line}");
    for step in ["detect", "forward"] {
        assert!(line["milliseconds"][step].as_f64().unwrap() > 0.0, "{line}");
    }

    let archive = repository().join("crates/vision/tests/golden/faster_rcnn/own_model/model.tar.gz");
    let archive = flate2::read::GzDecoder::new(std::fs::File::open(archive).unwrap());
    tar::Archive::new(archive).unpack(folder.path().join("model")).unwrap();
    let photo = repository().join("examples/astronaut.png");
    let line = measured(&[photo.to_str().unwrap(), "--model", "model", "--size", "96x64"]);
    assert_eq!((&line["network"], &line["size"]), (&"Faster R-CNN on Layers18".into(), &serde_json::json!([96, 64])));
    let times = line["milliseconds"].as_object().unwrap();
    assert!(times.len() == 1 && times["detect"].as_f64().unwrap() > 0.0, "{line}");

    let refused = run(folder.path(), &["bench", "objects", "--network", "yolo"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("faster-rcnn-r50"), "{}", stderr(&refused));
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let refused = run(folder.path(), &["bench", "objects", "--model", "empty"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("has no checkpoint"), "{}", stderr(&refused));
    std::fs::write(folder.path().join("empty/model.pth"), "no checkpoint").unwrap();
    let refused = run(folder.path(), &["bench", "objects", "--model", "empty"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("finds objects with would work"), "{}", stderr(&refused));
}

#[test]
fn bench_measures_an_endpoint_and_what_an_answer_costs() {
    let folder = tempfile::tempdir().unwrap();
    let archive = repository().join("crates/vision/tests/golden/faster_rcnn/own_model/model.tar.gz");
    let archive = flate2::read::GzDecoder::new(std::fs::File::open(archive).unwrap());
    tar::Archive::new(archive).unpack(folder.path().join("model")).unwrap();
    std::fs::write(folder.path().join("prices.csv"), "type,price\nml.c5.xlarge,0.204\n").unwrap();
    let arguments = ["bench", "endpoint", "--model", "model", "--requests", "2", "--json"];
    let prices = ["--price", "ml.m5.large=3.6", "--prices-from", "prices.csv"];
    let output = run(folder.path(), &[&arguments[..], &prices].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = line["instances"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[1]["instanceType"]), (2, &"ml.c5.xlarge".into()), "{line}");
    let number = |name: &str| rows[0][name].as_f64().unwrap();
    assert!(number("deploymentSeconds") > 0.0 && number("meanSecondsPerImage") > 0.0, "{line}");
    // 3.6 an hour is a thousandth a second.
    let (cost, mean) = (number("costPer1000Images"), number("meanSecondsPerImage"));
    assert!((cost - mean).abs() < 1e-9, "{line}");

    let refused = run(folder.path(), &["bench", "endpoint", "--model", "absent", "--price", "ml.m5.large=1"]);
    assert!(stderr(&refused).contains("--model absent is no folder"), "{}", stderr(&refused));
    let array = ["bench", "endpoint", "prices.csv", "--content-type", "application/x-npy", "--model", "model"];
    let refused = run(folder.path(), &array);
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    assert!(said.contains("ModelError: the model server answered 400: BAD_ARRAY: ") && !said.contains('\\'), "{said}");
    let refused = run(folder.path(), &["bench", "endpoint", "--model", "model", "--price", "ml.m5.large=cheap"]);
    assert!(stderr(&refused).contains("such as ml.g4dn.xlarge=0.736"), "{}", stderr(&refused));
}

#[test]
fn bench_measures_the_pipeline_by_process() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["bench", "pipeline", "--jobs", "2", "--rate", "5", "--ages", "30", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let programs = line["processorMillisecondsPerJob"]["programs"].as_object().unwrap();
    let names: Vec<&str> = programs.keys().map(String::as_str).collect();
    assert_eq!(names, ["image-processor", "job-tracker", "serve", "up"]);
    let figure = |pointer: &str| line.pointer(pointer).and_then(Value::as_f64).unwrap_or_default();
    let of_serve = figure("/processorMillisecondsPerJob/programs/serve/user");
    assert!(of_serve > 1.0 && figure("/processorMillisecondsPerJob/sum") >= of_serve, "{line}");
    let latency = figure("/latencyMilliseconds/median");
    assert!(latency > 1.0 && latency <= 1000.0 * figure("/seconds") && figure("/memoryBytes/after") > 1e7, "{line}");
}

#[test]
fn deployed_function_programs_are_run() {
    let folder = tempfile::tempdir().unwrap();
    for function in ["image-processor", "job-tracker"] {
        // This stands for the program that `cargo lambda build` makes: the same code under its own name.
        let bootstrap = folder.path().join("lambda").join(function).join("bootstrap");
        std::fs::create_dir_all(bootstrap.parent().unwrap()).unwrap();
        std::fs::write(&bootstrap, format!("#!/bin/bash\nexec -a {function} {BINARY}\n")).unwrap();
        std::fs::set_permissions(&bootstrap, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let output = run(folder.path(), &["bench", "functions", "lambda", "--runs", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    for function in ["image-processor", "job-tracker"] {
        let figures = &line[function];
        let figure = |name: &str| figures.pointer(name).and_then(Value::as_f64).unwrap_or_default();
        let (init, answer) = (figure("/initMilliseconds"), figure("/firstAnswerMilliseconds/median"));
        assert!(init > 0.0 && answer > init && figure("/coldStarts") >= 1.0, "{function}: {figures}");
        assert!(figure("/maxMemoryMegabytes") > 1.0 && figure("/zipBytes") > 20.0, "{function}: {figures}");
    }
    std::fs::remove_file(folder.path().join("lambda/job-tracker/bootstrap")).unwrap();
    let output = run(folder.path(), &["up", "--functions", "lambda", "--port", "0", "--aws-port", "0", "--data", "d"]);
    assert!(stderr(&output).contains("job-tracker/bootstrap is not there: `cargo lambda build"), "{}", stderr(&output));
}

#[test]
fn send_waits_for_a_job_and_fetches_its_pictures() {
    let up = Up::start();
    let folder = tempfile::tempdir().unwrap();
    for n in 1..=2 {
        std::fs::write(folder.path().join(format!("p{n}.png")), picture(n)).unwrap();
    }
    let output = run(folder.path(), &["send", "p1.png", "p2.png", "--api", &up.api, "--ages", "50", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["jobs"][1]["id"], "p2");
    assert_eq!(line["jobs"][1]["files"].as_array().unwrap().len(), 3);
    check_pictures(&folder.path().join("out/p1"), 2);
    check_pictures(&folder.path().join("out/p2"), 2);

    // Another picture under the same id never gives the pictures of the first.
    let output =
        run(folder.path(), &["send", "p2.png", "--id", "p1", "--api", &up.api, "--ages", "50", "--out", "again"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let read = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
    assert_eq!(read("again/strip.npy"), read("out/p2/strip.npy"));

    let mut broken = picture(3);
    broken.truncate(broken.len() / 2);
    std::fs::write(folder.path().join("broken.png"), broken).unwrap();
    for _ in 0..2 {
        let output = run(folder.path(), &["send", "broken.png", "--api", &up.api]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("CORRUPT_IMAGE"), "{}", stderr(&output));
    }
}

/// Runs a client against a server that refuses every request. Returns the head of the client's request, and its output.
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> (String, String) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", server.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let mut stream = server.accept().unwrap().0;
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let body = r#"{"message":"Forbidden"}"#;
        // The client may not read the answer.
        drop(write!(stream, "HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        head.join("\n")
    });
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.current_dir(folder.path()).arg("send").arg(sample()).args(["--jobs-api", &api]).args(arguments);
    command.env_clear().env("HOME", folder.path()).env("AWS_EC2_METADATA_DISABLED", "true");
    let output = command.envs(environment.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    // Ends the server's wait if the client never sent a request.
    drop(TcpStream::connect(api.strip_prefix("http://").unwrap()));
    (asked.join().unwrap(), stderr(&output))
}

#[test]
fn requests_are_authorized() {
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let (head, said) = refused(&["--sign", "eu-west-1"], &keys);
    assert!(head.starts_with("GET /jobs/astronaut?wait=0 HTTP/1.1"), "{head}");
    assert!(head.contains("Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{head}");
    assert!(head.contains("/eu-west-1/execute-api/aws4_request"), "{head}");
    assert!(said.contains("403 Forbidden: Forbidden"), "{said}");

    let (head, _) = refused(&[], &[("TIME_TRAVELER_JOBS_TOKEN", "e30.e30.x")]);
    assert!(head.contains("Authorization: Bearer e30.e30.x"), "{head}");
    let (head, _) = refused(&[], &keys);
    assert!(!head.to_lowercase().contains("authorization"), "{head}");
    let (head, said) = refused(&["--sign", "eu-west-1"], &[]);
    assert!(head.is_empty() && said.contains("there are no AWS credentials: AWS_PROFILE"), "{head} {said}");
}

#[test]
fn errors_have_their_exit_code_and_name_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "hello").unwrap();
    std::fs::create_dir(folder.path().join("model")).unwrap();
    std::fs::write(folder.path().join("model/model.pt"), "weights").unwrap();
    let photo = sample();
    let photo = photo.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    std::fs::copy(photo, folder.path().join("astronaut.jpg")).unwrap();
    image::RgbImage::new(200, 100).save(folder.path().join("dark.png")).unwrap();
    std::fs::write(folder.path().join("keep.bmp"), "mine").unwrap();
    let cases: [(&[&str], i32, &str); 27] = [
        (&["send", photo, "astronaut.jpg"], 2, "both be portrait astronaut"),
        (&["up", "--port", &port, "--aws-port", "0", "--data", "d"], 1, &port),
        (&["up", "--port", "0", "--aws-port", &port, "--data", "d"], 1, "--aws-port"),
        (&["up", "--port", "0", "--aws-port", "0", "--data", "notes.txt"], 1, "notes.txt"),
        (&["up", "--port", "0", "--aws-port", "0", "--data", "/proc/nowhere"], 1, "/proc/nowhere"),
        (&["up", "--port", "0", "--aws-port", "0", "--data", "d", "--model", "gone"], 1, "gone"),
        (&["up", "--port", "0", "--aws-port", "0", "--data", "d", "--model", "model"], 1, "model.pt"),
        (&["up", "--ages", "900"], 2, "900"),
        (&["demo", "gone.jpg"], 1, "gone.jpg"),
        (&["age", "notes.txt"], 1, "notes.txt"),
        (&["age", photo, "--device", "cuda"], 1, "cpu"),
        (&["send", "notes.txt"], 1, "JPEG"),
        (&["send", photo, "--api", "http://127.0.0.1:9"], 1, "cannot be reached"),
        (&["send", photo, photo, "--id", "a"], 2, "--id"),
        (&["frobnicate"], 2, "frobnicate"),
        (&["age", "dark.png"], 1, "NO_FACE: dark.png: no face was found in the picture of 200 x 100 pixels"),
        (&["faces", photo, "--align", "keep.bmp"], 2, ".png"),
        (&["faces", photo, "--align", "gone/crop.png"], 1, "gone/crop.png"),
        (&["faces", "dark.png", "--upsample", "4", "--align", "crop.png"], 1, "align: a --threshold below 0 may"),
        (&["age", "dark.png", "--aligned"], 1, "square"),
        (&["faces", "gone.png"], 1, "gone.png"),
        (&["faces", "dark.png", "--align", "crop.png"], 1, "NO_FACE"),
        (&["faces", photo, "--detector", "notes.txt"], 1, "notes.txt is no face detector"),
        (&["faces", photo, "--landmarks", "gone.dat"], 1, "gone.dat"),
        (&["faces", photo, "--upsample", "4"], 1, "67108864 pixels"),
        (&["faces", photo, "--threshold", "nan"], 2, "nan"),
        (&["bench", "face", "dark.png"], 1, "dark.png, its middle"),
    ];
    for (arguments, code, word) in cases {
        let output = run(folder.path(), arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read(folder.path().join("keep.bmp")).unwrap(), b"mine");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let photo = sample();
    let photo = photo.to_str().unwrap();
    let run_into = |stdout: Stdio, arguments: &[&str]| {
        Command::new(BINARY).args(arguments).current_dir(folder.path()).stdout(stdout).output().unwrap()
    };
    let cases: [(&[&str], i32); 9] = [
        (&["age", photo, "--ages", "60", "--out", "o", "--show=blocks"], 0),
        (&["age", photo, "--ages", "60", "--out", "o", "--json"], 0),
        (&["faces", photo], 0),
        (&["faces", photo, "--json"], 0),
        (&["bench", "preview", "--runs", "1"], 0),
        (&["check", "http://127.0.0.1:1", "--wait", "0"], 1),
        (&["completions", "bash"], 0),
        (&["man"], 0),
        (&["--help"], 0),
    ];
    for (arguments, code) in cases {
        // As `head` does once it has read enough.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run_into(writer.into(), arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("stdout"), "{arguments:?}: {said}");
    }
    check_pictures(&folder.path().join("o"), 2);

    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let checkpoint = json_checkpoint(folder.path());
    let full_cases: [&[&str]; 9] = [
        &["faces", photo],
        &["faces", photo, "--json"],
        &["age", photo, "--ages", "60", "--out", "o", "--show=blocks"],
        &["up", "--port", "0", "--aws-port", "0", "--data", "d"],
        &["model", "inspect", &checkpoint],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--version"],
    ];
    for arguments in full_cases {
        let output = run_into(full().into(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("error: stdout cannot be written: No space left"), "{arguments:?}: {said}");
    }

    // Where stderr is closed or full as well, the exit code is all that is left.
    for arguments in [
        &["age", photo, "--ages", "60", "--out", "o", "--show=blocks"][..],
        &["age", photo, "--ages", "60", "--out", "o", "--show"],
        &["demo", photo, "--ages", "60", "--out", "o"],
        &["send", photo, "--api", "http://127.0.0.1:1"],
        &["model", "convert", &checkpoint, "x.safetensors"],
        &["faces", "gone.png"],
        &["frobnicate"],
    ] {
        let code = |stdout: Stdio, errors: Stdio| {
            let mut command = Command::new(BINARY);
            command.args(arguments).current_dir(folder.path()).stdout(stdout).stderr(errors);
            command.status().unwrap().code()
        };
        let expected = code(Stdio::null(), Stdio::null());
        let closed = || {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            Stdio::from(writer)
        };
        assert_eq!(code(Stdio::null(), closed()), expected, "{arguments:?}");
        assert_eq!(code(closed(), closed()), expected, "{arguments:?}");
        assert_eq!(code(Stdio::null(), full().into()), expected, "{arguments:?}");
        assert!(matches!(code(full().into(), full().into()), Some(1 | 2)), "{arguments:?}");
    }
}

/// Writes a small checkpoint, and returns its path.
fn json_checkpoint(folder: &Path) -> String {
    let header = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    let path = folder.join("small.safetensors");
    std::fs::write(&path, file).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn up_goes_on_when_its_readers_have_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut up = Command::new(BINARY)
        .args(["up", "--port", "0", "--aws-port", "0", "--json", "--data"])
        .arg(folder.path())
        .env("RUST_LOG", "info")
        .stdout(Stdio::piped())
        .stderr(writer)
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(up.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    drop(reader);
    let api = ready["api"].as_str().unwrap();
    let http = reqwest::Client::new();
    let put = http.put(format!("{api}/images/ada?ages=60")).body(picture(1)).send().await;
    let job = async {
        loop {
            let job: Value = http.get(format!("{api}/jobs/ada?wait=20")).send().await?.json().await?;
            if job["status"] == "SUCCESS" {
                return Ok::<_, reqwest::Error>(());
            }
        }
    };
    let job = tokio::time::timeout(crate::support::PATIENCE, job).await;
    up.kill().unwrap();
    up.wait().unwrap();
    assert!(put.is_ok_and(|put| put.status().is_success()));
    job.expect("the job is stuck").unwrap();
}
