//! Model servers of other makes, whose answers may be strips or not.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{Up, picture, repository};

/// `answering_server.py` as a program of its own. A model server gets no `PATH`.
fn server(folder: &Path) -> PathBuf {
    let python = Command::new("python3").args(["-c", "import sys; print(sys.executable, end='')"]).output().unwrap();
    let script = repository().join("crates/time-traveler/tests/e2e/answering_server.py");
    let program = folder.join("server");
    let text = format!("#!{}\n{}", String::from_utf8(python.stdout).unwrap(), std::fs::read_to_string(script).unwrap());
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    program
}

#[tokio::test]
async fn strips_in_every_order_and_version_are_read_and_other_answers_named() {
    let folder = tempfile::tempdir().unwrap();
    let program = server(folder.path());
    let up = Up::start_with(&folder.path().join("data"), &["--model-server", program.to_str().unwrap()]);
    let job = async |ages: u8| {
        let id = format!("ages-{ages}");
        let answer = up.put(&format!("/images/{id}?ages={ages}"), picture(1)).await;
        assert!(answer.status().is_success());
        up.settled(&id).await
    };
    let pixel = |at: usize| [(at / 2048 / 4) as u8, (at % 2048 / 32) as u8, 7];
    let pixels: Vec<u8> = (0..1024 * 2048).flat_map(pixel).collect();
    for ages in [1, 2, 3] {
        let job = job(ages).await;
        assert_eq!(job["status"], "SUCCESS", "{job}");
        let path = job["images"][1]["path"].as_str().unwrap();
        let panel = up.get(path).await.bytes().await.unwrap();
        let panel = image::load_from_memory(&panel).unwrap().to_rgb8();
        let image::Rgb(found) = panel.get_pixel(700, 300);
        assert!(found.iter().zip([75, 53, 7]).all(|(found, right)| found.abs_diff(right) < 8), "{ages}: {found:?}");
        // Clients get version 1 in C order, whatever the server has sent.
        let strip = up.get(&path.replace("1.jpg", "strip.npy")).await.bytes().await.unwrap();
        let header = b"\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False, 'shape': (1024, 2048, 3), }";
        assert!(strip.starts_with(header) && strip[128..] == pixels, "{ages}");
    }
    for (ages, message) in [
        (11, "of Content-Type \"image/jpeg\", cannot be used: it is a JPEG picture: a .npy of uint8 would work"),
        (
            12,
            "of Content-Type \"application/json\", cannot be used: \
             it is JSON that begins with \"{\\\"boxes\\\": []}\": a .npy of uint8 would work",
        ),
        (
            13,
            "of Content-Type \"application/x-npy\", cannot be used: \
             the strip has the shape [1, 1024, 2048, 3], but 1 ages make (1024, 2048, 3)",
        ),
        // S3's own type for objects that came without one.
        (
            14,
            "of Content-Type \"binary/octet-stream\", cannot be used: it is a zip archive, such as a .npz: a .npy of uint8 would work",
        ),
    ] {
        let error = job(ages).await["error"].clone();
        let message = format!("the model's answer, {message}");
        assert_eq!(error, json!({"code": "MODEL_ERROR", "message": message}));
    }
}
