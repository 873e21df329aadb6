//! A folder that stands for a checkout in which everything is built.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::document::{Block, Language};
use crate::python::python;
use crate::repository;
use crate::up::Up;

/// How long the blocks of one document may take together.
const PATIENCE: Duration = Duration::from_secs(600);
/// The port that documents give to a model server of their own.
const SERVER_PORT: &str = "8090";
/// Before the output of a block.
const MARK: &str = "@@ ";
/// The last lines of output that a failure shows.
const SHOWN: usize = 30;

/// Stands for cargo: runs the programs that are built.
const CARGO: &str = r#"#!/usr/bin/env bash
case "$1 $2 ${3:-}" in
"run --release --") shift 3 && exec time-traveler "$@" ;;
"run --release --example")
    program=$4 && shift 4 && [[ ${1:-} != -- ]] || shift
    [[ -x $EXAMPLES/$program ]] && exec "$EXAMPLES/$program" "$@"
    echo "the example $program is not built: cargo build -p time-traveler --examples" >&2 && exit 1 ;;
"build --release -p")
    [[ $4 == time-traveler || $4 == container ]] && exit ;;
esac
echo "what stands for cargo knows run --release -- and build --release -p of a program, not: cargo $*" >&2
exit 1
"#;
/// curl that fails where the answer is an error.
const CURL: &str = "#!/usr/bin/env bash\nPATH=$PLAIN_PATH exec curl --fail \"$@\"\n";

pub(crate) struct Checkout {
    /// `checkout`, `bin`, `home`.
    folder: tempfile::TempDir,
    examples: std::path::PathBuf,
}

impl Checkout {
    /// With links to the repository's files, and to this build of the command line.
    pub(crate) fn new(binary: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["bin", "home", "checkout/target/release"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        // What the repository ignores is another build's or run's.
        let ignored = fs::read_to_string(repository().join(".gitignore")).unwrap();
        let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).chain([".git"]).collect();
        for entry in fs::read_dir(repository()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if !ignored.contains(&name.as_str()) {
                symlink(entry.path(), at("checkout").join(name)).unwrap();
            }
        }
        let binary = binary.canonicalize().unwrap();
        // The program goes by the name that it is called by.
        for name in ["bin/time-traveler", "checkout/target/release/time-traveler", "checkout/target/release/serve"] {
            symlink(&binary, at(name)).unwrap();
        }
        for (name, script) in [("cargo", CARGO), ("curl", CURL)] {
            let file = at("bin").join(name);
            fs::write(&file, script).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let examples = binary.parent().unwrap().join("examples");
        Self { folder, examples }
    }

    /// Runs blocks one after the other in one shell; a failure names the block and shows its output.
    pub(crate) fn run(&self, document: &Path, blocks: &[&Block], up: Option<&Up>) -> Result<(), String> {
        let script = self.folder.path().join("script");
        fs::write(&script, text(document, blocks, up)).unwrap();
        let output = self.folder.path().join("output");
        let file = File::create(&output).unwrap();
        let mut shell = self
            .command(Path::new("bash"))
            .arg(&script)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap();
        let start = Instant::now();
        let status = loop {
            match shell.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if start.elapsed() > PATIENCE => break None,
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        // With everything that it left in the background.
        let group = format!("-{}", shell.id());
        Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().unwrap();
        shell.wait().unwrap();
        match status {
            Some(status) if status.success() => Ok(()),
            ended => {
                let output = String::from_utf8_lossy(&fs::read(output).unwrap()).into_owned();
                let block = output.rsplit_once(MARK).map_or(output.as_str(), |(_, block)| block);
                let lines: Vec<&str> = block.lines().collect();
                let (place, lines) = lines.split_first().unwrap_or((&"", &[]));
                let ended = ended.map_or_else(|| format!("no end after {PATIENCE:?}"), |status| status.to_string());
                Err(format!("{place}: {ended}\n{}", lines[lines.len().saturating_sub(SHOWN)..].join("\n")))
            }
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // No account, no pipeline and no other build of the person who runs the tests.
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| ["AWS_", "TIME_TRAVELER_", "CARGO_"].iter().any(|of| name.starts_with(of)))
            {
                command.env_remove(name);
            }
        }
        let plain = std::env::var("PATH").unwrap();
        let bin = self.folder.path().join("bin");
        let path = format!("{}:{}:{plain}", bin.display(), python().parent().unwrap().display());
        command
            .env("PATH", path)
            .env("PLAIN_PATH", plain)
            .env("EXAMPLES", &self.examples)
            .env("HOME", self.folder.path().join("home"))
            .current_dir(self.folder.path().join("checkout"));
        command
    }
}

/// One script of all blocks, so that folder, variables and functions reach the next block.
fn text(document: &Path, blocks: &[&Block], up: Option<&Up>) -> String {
    let mut script = "set -euo pipefail\n".to_owned();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    for Block { line, language, text, .. } in blocks {
        let text = text.replace(SERVER_PORT, &port);
        let text = up.map_or(text.clone(), |up| up.addressed(&text));
        let place = format!("{}:{line}", document.display());
        writeln!(script, "echo '{MARK}{place}'").unwrap();
        match language {
            Language::Python => writeln!(script, "python - <<'END_OF_BLOCK'\n{text}END_OF_BLOCK").unwrap(),
            Language::Sh | Language::Text => script.push_str(&text),
        }
    }
    script
}
