//! The programs that run instead of the containers of `docker compose up`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use futures::future::select_all;
use local_cloud::Image;
use local_cloud::process::{self, View};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::compose_file::Service;
use super::mounts::Mounts;
use super::{Settings, found};

/// How long a program may take to end, as with `docker compose`.
const PATIENCE: Duration = Duration::from_secs(10);
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// The variables that a program gets from the command that `exec` runs: those that `exec` set, and this machine's own.
const INHERITED: [&str; 12] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "CUDA_VISIBLE_DEVICES",
];

/// A running program.
struct Container {
    name: String,
    child: Child,
    id: u32,
    output: JoinHandle<()>,
}

/// Runs the services until the first one ends, or until this process is asked to end. Returns the exit code of that service.
///
/// # Errors
/// An image has no program, or a program cannot start.
pub(super) async fn run(services: &[Service], settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut ended = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    std::fs::create_dir_all(&settings.folder)
        .with_context(|| format!("{} cannot be made", settings.folder.display()))?;
    let folder = tempfile::tempdir_in(&settings.folder).context("a temporary folder cannot be made")?;
    let mut containers = Vec::new();
    for service in services {
        let mounts = Mounts::prepare(&service.mounts, &names, &folder.path().join(&service.name))?;
        let started = start(service, found(settings, &service.image)?, &mounts);
        containers.push(started.with_context(|| format!("{} cannot start", service.name))?);
    }
    let first = {
        let all = containers.iter_mut().map(|container| Box::pin(container.child.wait()));
        tokio::select! {
            (status, number, _) = select_all(all) => Some((number, status.context("a program cannot be waited for")?)),
            _ = ended.0.recv() => None,
            _ = ended.1.recv() => None,
        }
    };
    for container in &containers {
        process::signal_group(container.id, SIGTERM);
    }
    let mut code = 130;
    for (number, container) in containers.into_iter().enumerate() {
        let ended = container.end().await;
        if let Some((first, status)) = &first
            && *first == number
        {
            code = exit_code(*status);
        }
        // What is left of it ends, too.
        ended?;
    }
    Ok(ExitCode::from(code))
}

impl Container {
    /// Waits for its end, and kills it after a while.
    async fn end(mut self) -> anyhow::Result<()> {
        let status = match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                process::signal_group(self.id, SIGKILL);
                self.child.wait().await
            }
        };
        // Processes of it that go on hold its output open.
        process::signal_group(self.id, SIGKILL);
        let output = tokio::task::spawn_blocking(move || self.output.join());
        // A process that left its group may hold it open still.
        let _ = tokio::time::timeout(Duration::from_secs(2), output).await;
        let code = exit_code(status.context("a program cannot be waited for")?);
        say(&format!("{} exited with code {code}", self.name));
        Ok(())
    }
}

/// The exit code as Docker gives it: that of a signal is 128 and its number.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn start(service: &Service, image: &Image, mounts: &Mounts) -> anyhow::Result<Container> {
    if let Some(port) = service.port {
        TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!(
                "port {port} is in use: another endpoint of local mode needs another `local.serving_port` in its LocalSession's \
                 config, and `up` another --port"
            )
        })?;
    }
    let shown = View::works();
    let base = if shown { None } else { Some(mounts.linked()?.display().to_string()) };
    let located = |text: &str| match &base {
        None => text.to_owned(),
        Some(base) if text == "/opt/ml" => base.clone(),
        Some(base) => text.replace("/opt/ml/", &format!("{base}/")),
    };
    let program = &image.program;
    let mut words: Vec<OsString> = match &service.entrypoint {
        Some(words) => words.iter().map(|word| located(word).into()).collect(),
        None => std::iter::once(program.path.clone().into()).chain(program.arguments.iter().cloned()).collect(),
    };
    words.extend(service.command.iter().map(|word| located(word).into()));
    let path = words.first().context("its entry point is empty")?.clone();
    let mut command = Command::new(&path);
    command.args(&words[1..]);
    if service.entrypoint.is_none() {
        command.arg0(&program.arg0);
    }
    if shown {
        mounts.view().show(&mut command)?;
    }
    process::end_with_parent(&mut command);
    let (reader, writer) = io::pipe()?;
    command
        .env_clear()
        .envs(environment(service, image, located, base.as_deref()))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn().with_context(|| format!("{} cannot be executed", path.display()))?;
    // It holds the ends of the pipe that only the program writes to.
    drop(command);
    let id = child.id().unwrap_or_default();
    let prefix = service.name.clone();
    if let Some(base) = base {
        say(&format!("{prefix}  | this system gives a process no /opt/ml of its own: SAGEMAKER_BASE_DIR={base}"));
    }
    let output = std::thread::Builder::new().name("output".to_owned()).spawn(move || copy(reader, &prefix))?;
    Ok(Container { name: service.name.clone(), child, id, output })
}

/// The variables of a program: this machine's, the image's, the file's, and those of the contract. Later ones win.
fn environment(
    service: &Service,
    image: &Image,
    located: impl Fn(&str) -> String,
    base: Option<&str>,
) -> BTreeMap<String, OsString> {
    let machines = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?)));
    let images = image.program.environment.iter().map(|(name, value)| (name.clone(), value.into()));
    let files = service.environment.iter().map(|(name, value)| (name.clone(), located(value).into()));
    let mut variables: BTreeMap<String, OsString> = machines.chain(images).chain(files).collect();
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value.into());
    if let Some(port) = service.port {
        set("SAGEMAKER_BIND_TO_PORT", port.to_string());
        // Docker would publish the port to this machine only where the file says so. A program listens there itself.
        set("BIND_HOST", "127.0.0.1".to_owned());
    }
    set("SM_MODEL_DIR", format!("{}/model", base.unwrap_or("/opt/ml")));
    if let Some(base) = base {
        set("SAGEMAKER_BASE_DIR", base.to_owned());
        // The toolkit would wait for hosts that nobody knows.
        set("SM_STUDIO_LOCAL_MODE", "true".to_owned());
    }
    variables
}

/// Copies the output of a program, line by line, with its name before each.
fn copy(output: io::PipeReader, name: &str) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while let Ok(1..) = output.read_until(b'\n', &mut line) {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        say(&format!("{name}  | {}", String::from_utf8_lossy(&line)));
        line.clear();
    }
}

/// Prints a line of a program as it is: the SDK passes it on to the terminal that the program would have.
fn say(line: &str) {
    // Where nobody reads, the program goes on, as with Docker.
    let _ = io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}
