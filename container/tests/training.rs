//! The program `train`, as SageMaker runs it, on tiny sets of drawn pictures.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use nn::checkpoint::Checkpoint;

/// Two classes that a network tells apart in a few steps: pictures of two colours, whose brightness differs.
fn write_pictures(folder: &Path, count: usize) {
    for (class, colour) in [("red", [200, 60, 40]), ("blue", [40, 70, 200])] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        for index in 0..count {
            let picture = RgbImage::from_fn(40, 36, |x, y| {
                let shade = ((x * 7 + y * 3 + index as u32 * 11) % 50) as u8;
                Rgb(colour.map(|channel: u8| channel.saturating_add(shade)))
            });
            picture.save(folder.join(class).join(format!("{index}.png"))).unwrap();
        }
    }
}

/// The folders of a job.
struct Base(tempfile::TempDir);

impl Base {
    fn new(hyperparameters: &str) -> Self {
        let base = Self(tempfile::tempdir().unwrap());
        write_pictures(&base.path("input/data/training"), 10);
        std::fs::create_dir_all(base.path("input/config")).unwrap();
        std::fs::write(base.path("input/config/hyperparameters.json"), hyperparameters).unwrap();
        let channels = r#"{"training": {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}}"#;
        std::fs::write(base.path("input/config/inputdataconfig.json"), channels).unwrap();
        base
    }

    fn with_checkpoints(self) -> Self {
        std::fs::create_dir_all(self.path("checkpoints")).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn start(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_serve"))
            .arg("train")
            .env("SAGEMAKER_BASE_DIR", self.0.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Trains until it ends: the exit code and the log.
    fn train(&self) -> (Option<i32>, String) {
        let output = self.start().wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn failure(&self) -> String {
        std::fs::read_to_string(self.path("output/failure")).unwrap()
    }

    /// The bits of all tensors of the model.
    fn model(&self) -> Vec<(String, Vec<u32>)> {
        let checkpoint = Checkpoint::open(&self.path("model/model.safetensors")).unwrap();
        let bits = |name: &String| checkpoint.floats(name).unwrap().into_iter().map(f32::to_bits).collect();
        checkpoint.tensors().keys().map(|name| (name.clone(), bits(name))).collect()
    }
}

const TINY: &str = r#"{"model_arch": "\"resnet18\"", "image_size": "48", "batch_size": "4", "epochs": "3", "lr": "1e-3",
    "checkpoint_seconds": "1", "augment": "false", "pth": "true"}"#;

/// Waits for a file, then sends a signal to the training: its exit code.
fn signalled(base: &Base, signal: &str) -> Option<i32> {
    let mut child = base.start();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !base.path("checkpoints/training.safetensors").is_file() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    child.wait().unwrap().code()
}

#[test]
fn a_job_trains_and_writes_what_serve_serves_and_goes_on_after_signals_to_the_same_end() {
    let unbroken = Base::new(TINY);
    std::fs::write(unbroken.path("input/data/training/red/broken.png"), "no picture").unwrap();
    let (code, log) = unbroken.train();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("broken.png"), "{log}");
    let accuracy: f64 =
        log.rsplit("accuracy: ").next().and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    assert!(accuracy >= 0.75, "{log}");
    assert!(log.contains("step 12/12: total_loss: "), "{log}");
    let history = std::fs::read_to_string(unbroken.path("output/data/history.csv")).unwrap();
    assert_eq!(history.lines().count(), 4, "{history}");
    assert!(unbroken.path("output/data/training.html").is_file() && !unbroken.path("output/failure").exists());
    let pth = Checkpoint::open(&unbroken.path("model/resnet18.pth")).unwrap();
    for (name, bits) in unbroken.model() {
        let found: Vec<u32> = pth.floats(&name).unwrap().into_iter().map(f32::to_bits).collect();
        assert!(found == bits, "{name}: both files have the same values");
    }
    assert!(pth.tensors().contains_key("0.4.0.bn1.num_batches_tracked"), "{:?}", pth.tensors().keys());
    let classes = std::fs::read_to_string(unbroken.path("model/classes.json")).unwrap();
    assert!(classes.contains("blue") && classes.contains("red"), "{classes}");

    for signal in ["-TERM", "-KILL"] {
        let base = Base::new(TINY).with_checkpoints();
        std::fs::write(base.path("input/data/training/red/broken.png"), "no picture").unwrap();
        let code = signalled(&base, signal);
        assert!(if signal == "-TERM" { code == Some(0) } else { code.is_none() || code == Some(0) }, "{code:?}");
        assert_eq!(base.train().0, Some(0));
        assert!(base.model() == unbroken.model(), "{signal}: the model is that of an unbroken training");
    }
}

#[test]
fn what_is_wrong_is_described_in_the_failure_file_before_data_is_read() {
    let base = Base::new(r#"{"epochs": "many"}"#);
    std::fs::remove_dir_all(base.path("input/data/training")).unwrap();
    assert_eq!(base.train().0, Some(1));
    let expected = "the hyperparameter epochs is \"many\": a whole number from 0 to 10000 would work";
    assert_eq!(base.failure(), expected);

    let base = Base::new(TINY);
    std::fs::remove_dir_all(base.path("input/data/training/red")).unwrap();
    assert_eq!(base.train().0, Some(1));
    assert!(base.failure().contains("one class, [\"blue\"]: two and more would work"), "{}", base.failure());
}

/// Runs a script with a memory disk of its own; `None` where the kernel gives none, and the reason is printed.
fn with_disk(base: &Base, script: &str) -> Option<std::process::Output> {
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-e", "-c", script]);
        command.env("TRAIN", env!("CARGO_BIN_EXE_serve")).env("SAGEMAKER_BASE_DIR", base.path("disk"));
        command.current_dir(base.0.path()).output().unwrap()
    };
    std::fs::create_dir(base.path("disk")).unwrap();
    let tried = run("mount -t tmpfs none disk");
    if !tried.status.success() {
        eprintln!("skipped, since no disk can be mounted here: {}", String::from_utf8_lossy(&tried.stderr));
        return None;
    }
    Some(run(script))
}

#[test]
fn a_full_disk_is_said_and_a_training_goes_on_when_there_is_room() {
    let unbroken = Base::new(TINY);
    assert_eq!(unbroken.train().0, Some(0));
    let base = Base::new(TINY);
    // A checkpoint has 134 MB: the disk has room for one, and not for the next one beside it.
    let script = "
        mount -t tmpfs -o size=200m none disk
        cp -r input disk
        mkdir disk/checkpoints
        if $TRAIN train >first.log; then echo 'it did not fail' >&2; exit 1; fi
        mkdir output && cp disk/output/failure output
        ls -A disk/checkpoints
        mount -o remount,size=800m disk
        $TRAIN train >second.log
        cp -r disk/model .";
    let Some(output) = with_disk(&base, script) else { return };
    let [said, error] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{error}");
    assert_eq!(said, "training.safetensors\n", "the last checkpoint is whole, and nothing else is left");
    let failure = base.failure();
    assert!(failure.contains("training.safetensors cannot be written: No space left on device"), "{failure}");
    let log = std::fs::read_to_string(base.path("second.log")).unwrap();
    assert!(log.contains("goes on after step "), "{log}");
    assert!(base.model() == unbroken.model(), "the model is that of an unbroken training");
}
