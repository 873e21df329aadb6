//! Unmodified clients: boto3 with only `endpoint_url` set, and curl.

use std::process::Command;

use crate::python::{python, run};
use crate::support::{Up, repository, sample};

/// A script of this folder, configured as a client of a local cloud.
pub(crate) fn script(up: &Up, name: &str) -> Command {
    let mut command = Command::new(python());
    command.arg(repository().join("crates/time-traveler/tests/e2e").join(name));
    as_client(up, &mut command);
    command
}

/// Configures a command as a client of a local cloud.
fn as_client<'a>(up: &Up, command: &'a mut Command) -> &'a mut Command {
    command
        .env("TIME_TRAVELER_API", &up.api)
        .env("AWS_ENDPOINT_URL", &up.aws)
        .env("AWS_ACCESS_KEY_ID", "anything")
        .env("AWS_SECRET_ACCESS_KEY", "goes")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .current_dir(repository())
}

#[test]
fn boto3_clients_work_unmodified() {
    let up = Up::start();
    run(&mut script(&up, "boto3_clients.py"));
}

#[test]
fn s3_works_as_boto3s_users_call_it() {
    let up = Up::start();
    run(&mut script(&up, "boto3_s3.py"));
}

/// The number of running model servers.
fn servers(up: &Up) -> usize {
    let listed = Command::new("ps").args(["-o", "args=", "--ppid", &up.pid().to_string()]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().filter(|line| line.trim() == "serve serve").count()
}

#[test]
fn endpoints_made_with_boto3_survive_a_kill() {
    let up = Up::start();
    run(script(&up, "boto3_endpoints.py").arg("create"));
    assert_eq!(servers(&up), 3, "each endpoint in service has one server");
    let folder = up.kill().unwrap();
    let up = Up::start_over(folder.path());
    run(script(&up, "boto3_endpoints.py").arg("restarted"));
    assert_eq!(servers(&up), 1);
    assert_eq!(std::fs::read_dir(folder.path().join("sagemaker")).unwrap().count(), 0, "model files are left");
}

#[test]
fn an_own_program_is_trained_and_served_with_boto3() {
    let folder = tempfile::tempdir().unwrap();
    let line = repository().join("examples/own_image/line.py");
    let image = format!("line={} {}", python().display(), line.display());
    let up = Up::start_with(folder.path(), &["--image", &image]);
    let mut client = Command::new(python());
    client.arg(repository().join("examples/own_image/client.py"));
    let output = as_client(&up, &mut client).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, ["Completed loss: 0.0", "text/csv ['1.000', '7.000']"]);
}

#[test]
fn a_classifier_is_trained_by_a_job_of_the_products_image_and_served() {
    let folder = tempfile::tempdir().unwrap();
    for (class, colour) in [("red", [200, 60, 40]), ("blue", [40, 70, 200])] {
        std::fs::create_dir(folder.path().join(class)).unwrap();
        for index in 0..10 {
            let shade = |x, y| ((x * 7 + y * 3 + index * 11) % 50) as u8;
            let pixel = |x, y| image::Rgb(colour.map(|channel: u8| channel.saturating_add(shade(x, y))));
            let picture = image::RgbImage::from_fn(40, 36, pixel);
            picture.save(folder.path().join(class).join(format!("{index}.png"))).unwrap();
        }
    }
    let up = Up::start();
    run(script(&up, "boto3_classifier.py").arg(folder.path()));
}

/// What `torch.save` wrote, packed with the programs of the original service.
#[test]
fn a_detector_of_ones_own_is_deployed_and_invoked() {
    let portrait = image::open(sample()).unwrap().into_rgb8();
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photo.png");
    // The part of the portrait that the expected objects are of.
    image::imageops::crop_imm(&portrait, 110, 20, 240, 200).to_image().save(&photo).unwrap();
    let own = repository().join("crates/vision/tests/golden/faster_rcnn/own_model");
    let up = Up::start();
    run(script(&up, "boto3_objects.py").arg(own.join("model.tar.gz")).arg(photo).arg(own.join("expected.json")));
}

#[tokio::test]
async fn curl_uploads_a_portrait() {
    let up = Up::start();
    run(Command::new("curl").args(["--silent", "--fail", "-T"]).arg(sample()).arg(format!("{}/images/ada", up.api)));
    assert_eq!(up.settled("ada").await["status"], "SUCCESS");
}
