//! Unmodified Python clients: boto3 with nothing but `endpoint_url`, the notebook, and curl.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Up, repository, sample};

/// A virtual environment with the packages of `tests/e2e/requirements.txt`, made once.
fn python() -> PathBuf {
    let requirements = repository().join("crates/time-traveler/tests/e2e/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("boto3-venv");
    let python = folder.join("bin/python");
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements));
        std::fs::write(installed, wanted).unwrap();
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy);
    assert!(output.status.success(), "{command:?}:\n{}\n{}", said[0], said[1]);
}

/// One test, so that the environment is made once.
#[test]
fn python_clients() {
    let python = python();
    let up = Up::start();
    let in_python = |script: PathBuf| {
        let mut command = Command::new(&python);
        command
            .arg(script)
            .env("TIME_TRAVELER_API", &up.api)
            .env("AWS_ENDPOINT_URL", &up.aws)
            .env("AWS_ACCESS_KEY_ID", "anything")
            .env("AWS_SECRET_ACCESS_KEY", "goes")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("MPLBACKEND", "Agg")
            .current_dir(repository());
        command
    };
    let tests = repository().join("crates/time-traveler/tests/e2e");
    run(&mut in_python(tests.join("boto3_clients.py")));
    run(in_python(tests.join("run_notebook.py")).arg("notebooks/first-portrait.ipynb"));
}

#[tokio::test]
async fn curl() {
    let up = Up::start();
    run(Command::new("curl").args(["--silent", "--fail", "-T"]).arg(sample()).arg(format!("{}/images/ada", up.api)));
    assert_eq!(up.settled("ada").await["status"], "SUCCESS");
}
