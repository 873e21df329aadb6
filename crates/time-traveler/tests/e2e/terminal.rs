//! The command line's output: several portraits at once, animations, pictures in terminals, completions, the manual.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gif::{DecodeOptions, Repeat};
use pipeline::Revision;
use serde_json::{Value, json};

use crate::support::{BINARY, Up, picture, repository, run, sample};

/// Width of the terminal in characters.
const COLUMNS: usize = 120;

/// Runs the command line in a terminal of [`COLUMNS`] x 30 characters of 10 x 20 pixels, which gets stdout and stderr.
fn run_in_terminal(folder: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new("python3");
    command.arg(repository().join("crates/time-traveler/tests/e2e/run_in_terminal.py")).args([
        &COLUMNS.to_string(),
        "30",
        BINARY,
    ]);
    for name in ["TMUX", "STY", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "TERM_PROGRAM", "LC_TERMINAL", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm-256color").envs(environment.iter().copied());
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeded(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The final text of a terminal, line by line, without colours.
fn screen(written: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut line, mut column) = (0, 0);
    let mut letters = written.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\r' => column = 0,
            '\n' => line += 1,
            '\x1b' => {
                assert_eq!(letters.next(), Some('['));
                let mut count = String::new();
                let command = letters.find(|letter| {
                    let ends = letter.is_ascii_alphabetic();
                    if !ends {
                        count.push(*letter);
                    }
                    ends
                });
                match command.unwrap() {
                    'A' => line -= count.parse().unwrap_or(1),
                    'B' => line += count.parse().unwrap_or(1),
                    'K' if count == "2" => lines[line].clear(),
                    'm' => {}
                    other => panic!("{count}{other} is not known here"),
                }
            }
            letter => {
                // A letter after the last column starts the next line.
                if column == COLUMNS {
                    (line, column) = (line + 1, 0);
                    lines.resize(lines.len().max(line + 1), Vec::new());
                }
                let line = &mut lines[line];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = letter;
                column += 1;
            }
        }
        lines.resize(lines.len().max(line + 1), Vec::new());
    }
    lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
}

/// Writes two portraits, and a truncated one between them.
fn photographs(folder: &Path) -> [&'static str; 3] {
    let mut broken = picture(3);
    broken.truncate(broken.len() / 2);
    for (name, bytes) in [("p1.png", picture(1)), ("broken.png", broken), ("p2.png", picture(2))] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    ["p1.png", "broken.png", "p2.png"]
}

/// The delay of each frame of an animation, in hundredths of a second.
fn delays(file: &Path) -> Vec<u16> {
    let mut decoder = DecodeOptions::new().read_info(std::fs::File::open(file).unwrap()).unwrap();
    assert_eq!((decoder.width(), decoder.height(), decoder.repeat()), (480, 480, Repeat::Infinite));
    let mut delays = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        delays.push(frame.delay);
    }
    delays
}

#[test]
fn several_portraits_are_sent_at_once_and_one_failure_stops_no_other() {
    let up = Up::start();
    let folder = tempfile::tempdir().unwrap();
    let [one, broken, two] = photographs(folder.path());
    let output = run(folder.path(), &["send", one, broken, two, "--api", &up.api, "--ages", "70,30", "--json"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: broken: CORRUPT_IMAGE"), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let at =
        |line: &str| lines.iter().position(|other| *other == line).unwrap_or_else(|| panic!("no {line} in {said}"));
    let first_end = at("p1: done").min(at("broken: failed")).min(at("p2: done"));
    for id in ["p1", "broken", "p2"] {
        assert!(at(&format!("{id}: uploading")) < at(&format!("{id}: queued")));
        assert!(at(&format!("{id}: uploading")) < first_end, "the portraits are sent one after the other: {said}");
    }
    assert!(at("p2: queued") < at("p2: fetching") && at("p2: fetching") < at("p2: done"));

    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let jobs = line["jobs"].as_array().unwrap();
    let ids: Vec<&Value> = jobs.iter().map(|job| &job["id"]).collect();
    assert_eq!(ids, ["p1", "broken", "p2"]);
    assert_eq!(jobs[0]["files"], json!(["out/p1/0.jpg", "out/p1/1.jpg", "out/p1/2.jpg", "out/p1/strip.npy"]));
    assert_eq!(jobs[0]["animation"], "out/p1/animation.gif");
    assert_eq!((&jobs[1]["files"], &jobs[1]["animation"]), (&json!([]), &Value::Null));
    let delays = delays(&folder.path().join("out/p2/animation.gif"));
    assert_eq!(delays.len(), 16);
    assert_eq!(delays.iter().filter(|delay| **delay == 90).count(), 2);

    // In a terminal, each portrait has one live line, which keeps only its final state.
    let arguments = ["send", one, broken, two, "--api", &up.api, "--ages", "70,30", "--out", "o", "--no-animation"];
    let output = run_in_terminal(folder.path(), &[], &arguments);
    assert_eq!(output.status.code(), Some(1));
    let written = text(&output.stdout);
    for state in ["uploading", "queued", "fetching", "\x1b[32m✓", "\x1b[31m✗"] {
        assert!(written.contains(state), "no {state:?} in {written:?}");
    }
    let screen = screen(&written);
    let expected = [
        ("✓ p1     ", " s  done: o/p1"),
        ("✗ broken ", " s  CORRUPT_IMAGE: "),
        ("✓ p2     ", " s  done: o/p2"),
        ("p1 SUCCESS (preview)", ""),
        ("  o/p1/0.jpg", ""),
    ];
    for ((start, then), line) in expected.iter().zip(&screen) {
        assert!(line.starts_with(start) && line.contains(then), "{line:?} is not {start}...{then}: {screen:#?}");
    }
    assert!(!folder.path().join("o/p1/animation.gif").exists());
    assert_eq!(screen.iter().filter(|line| line.contains("uploading")).count(), 0, "{screen:#?}");
}

/// A deployment whose job is first `PENDING`, then `PROCESSING`, then `FAILED`. Returns the requests.
fn slow_deployment(listener: TcpListener) -> Vec<String> {
    let revision = Revision::new("\"e\"", "40").to_string();
    let mut states = ["PENDING", "PROCESSING", "FAILED"].into_iter();
    let mut asked = Vec::new();
    let mut is_there = false;
    loop {
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let mut length = 0;
        let mut header = String::new();
        while reader.read_line(&mut header).unwrap() > 2 {
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            header.clear();
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        let request = line.rsplit_once(' ').unwrap().0.to_owned();
        let put = request.starts_with("PUT");
        let state = if is_there && !put { states.next() } else { None };
        let (head, body) = match state {
            Some(state) => {
                let moment = "2026-11-21T13:08:00.123Z";
                let error = (state == "FAILED").then(|| json!({"code": "NO_FACE", "message": "nobody"}));
                let job = json!({"id": "astronaut", "revision": revision, "status": state, "ages": [40], "model": null,
                    "images": [], "error": error, "createdAt": moment, "updatedAt": moment});
                ("200 OK", job.to_string())
            }
            None if put => ("200 OK\r\netag: \"e\"", String::new()),
            None => ("404 Not Found", "{}".to_owned()),
        };
        is_there |= put;
        let answer = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        reader.get_mut().write_all(answer.as_bytes()).unwrap();
        asked.push(request);
        if state == Some("FAILED") {
            return asked;
        }
    }
}

#[test]
fn a_client_sees_when_its_job_is_processed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    let deployment = std::thread::spawn(move || slow_deployment(listener));
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["send", sample().to_str().unwrap(), "--api", &api, "--ages", "40"]);
    let said = text(&output.stderr);
    let states: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("astronaut: ")).collect();
    assert_eq!(states, ["uploading", "queued", "working", "failed"], "{said}");
    let waits: Vec<String> =
        deployment.join().unwrap().iter().filter_map(|line| Some(line.split_once("?wait=")?.1.to_owned())).collect();
    assert_eq!(waits, ["0", "1", "1", "20"]);
}

#[test]
fn a_demo_takes_several_portraits() {
    let folder = tempfile::tempdir().unwrap();
    let [one, broken, two] = photographs(folder.path());
    let output = run(folder.path(), &["demo", one, broken, two, "--ages", "50", "--out", "o"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: broken: CORRUPT_IMAGE"), "{stderr}");
    for id in ["p1", "broken", "p2"] {
        assert!(stderr.contains(&format!("/images/{id}?ages=50")), "{stderr}");
    }
    assert!(stdout.contains("animation.gif\n2 portraits after"), "{stdout}");
    assert!(
        stdout.starts_with("p1 SUCCESS (preview)\n  o/p1/0.jpg\n") && stdout.contains("\nbroken FAILED\np2 "),
        "{stdout}"
    );
    // With one age, the original comes before it.
    assert_eq!(delays(&folder.path().join("o/p2/animation.gif")).len(), 16);
}

/// The picture of the sample at one age, as printed after the list of files.
fn shown(folder: &Path, how: &str) -> String {
    let photo = sample();
    let arguments = ["age", photo.to_str().unwrap(), "--ages", "60", "--no-animation", how];
    let stdout = succeeded(&run(folder, &arguments));
    stdout.split_once("strip.npy\n").unwrap().1.to_owned()
}

/// Asserts that a PNG is the sheet of two panels. Without a terminal, 80 x 24 characters of 10 x 20 pixels are assumed.
fn is_the_sheet(base64: &str) {
    let sheet = image::load_from_memory(&STANDARD.decode(base64).unwrap()).unwrap().into_rgb8();
    assert_eq!((sheet.width(), sheet.height()), (800, 400));
    let (original, aged) = (sheet.get_pixel(200, 30), sheet.get_pixel(600, 30));
    // The pixels show hair, which turns grey.
    let colourful = |pixel: &image::Rgb<u8>| pixel.0.iter().max().unwrap() - pixel.0.iter().min().unwrap();
    assert!(colourful(original) > colourful(aged), "{original:?} {aged:?}");
}

#[test]
fn pictures_are_shown_by_the_chosen_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let kitty = shown(folder.path(), "--show=kitty");
    let commands = kitty.strip_suffix('\n').unwrap().split_terminator("\x1b\\");
    let payloads = commands.map(|command| command.strip_prefix("\x1b_G").unwrap().split_once(';').unwrap().1);
    is_the_sheet(&payloads.collect::<String>());

    let iterm2 = shown(folder.path(), "--show=iterm2");
    let (keys, file) = iterm2.strip_suffix("\x07\n").unwrap().split_once(':').unwrap();
    assert!(keys.starts_with("\x1b]1337;File=inline=1;width=80;"), "{keys}");
    is_the_sheet(file);

    let sixel = shown(folder.path(), "--show=sixel");
    assert!(sixel.starts_with("\x1bP0;1q\"1;1;800;400#0;2;") && sixel.ends_with("-\x1b\\\n"));
    assert_eq!(sixel.matches('-').count(), 400_usize.div_ceil(6));

    let blocks = shown(folder.path(), "--show=blocks");
    let lines: Vec<&str> = blocks.lines().collect();
    assert_eq!(lines.len(), 20);
    for line in lines {
        assert_eq!(line.matches('▀').count(), 80);
        assert!(line.contains("\x1b[38;") && line.contains("\x1b[48;") && line.ends_with("\x1b[0m"), "{line:?}");
    }
}

#[test]
fn pictures_are_shown_by_a_protocol_of_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let photo = sample();
    let arguments = ["age", photo.to_str().unwrap(), "--ages", "60", "--no-animation", "--show"];
    let colours = [("COLORTERM", "truecolor")];
    let blocks = succeeded(&run_in_terminal(folder.path(), &colours, &arguments));
    assert!(blocks.contains("\x1b[38;2;") && !blocks.contains("\x1b_G") && blocks.ends_with("\x1b[0m\r\n"));
    // Two of the 30 rows stay free, so the sheet is 56 pixels high, less than the width of 120 allows.
    assert_eq!(blocks.matches('▀').count(), 112 * 28);
    let kitty = succeeded(&run_in_terminal(folder.path(), &[("TERM", "xterm-kitty")], &arguments));
    assert!(kitty.contains("\x1b_Ga=T,f=100,q=2,c=112,m=1;") && !kitty.contains('▀'));
    let plain = succeeded(&run_in_terminal(folder.path(), &[("NO_COLOR", "1")], &arguments));
    assert!(plain.contains("NO_COLOR") && !plain.contains('▀'), "{plain}");

    let output = run(folder.path(), &arguments);
    assert!(succeeded(&output).ends_with("strip.npy\n"));
    assert!(text(&output.stderr).contains("stdout is no terminal"), "{}", text(&output.stderr));
    for (wrong, said) in [(["--show", "--json"], "cannot be used with"), (["--show=ascii", "--json"], "sixel, blocks")]
    {
        let output = run(folder.path(), &[&arguments[..2], &wrong[..]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}

/// The names of all commands in the help.
fn commands(folder: &Path, of: &[&str]) -> Vec<String> {
    let help = succeeded(&run(folder, &[of, &["--help"]].concat()));
    let listed = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = listed.lines().map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

#[test]
fn shells_complete_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let names = commands(folder.path(), &[]);
    assert!(names.len() > 9, "{names:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeeded(&run(folder.path(), &["completions", shell]));
        // The scripts for the last two shells complete no values.
        let values: &[&str] = if ["elvish", "powershell"].contains(&shell) { &[] } else { &["sixel", "bfloat16"] };
        for word in names.iter().map(String::as_str).chain(["no-animation"]).chain(values.iter().copied()) {
            assert!(script.contains(word), "{shell} knows no {word}");
        }
        if shell == "bash" {
            let file = folder.path().join("completions.bash");
            std::fs::write(&file, script).unwrap();
            // Bash runs the completion itself.
            let ask = "source completions.bash; COMP_WORDS=(time-traveler sen); COMP_CWORD=1; \
                _time__traveler time-traveler sen time-traveler; echo \"${COMPREPLY[@]}\"";
            let output = Command::new("bash").args(["-c", ask]).current_dir(folder.path()).output().unwrap();
            assert_eq!(text(&output.stdout), "send\n", "{}", text(&output.stderr));
        }
    }
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    succeeded(&run(folder.path(), &["man", "man1"]));
    let page = |name: &str| std::fs::read_to_string(folder.path().join(format!("man1/{name}.1"))).unwrap();
    for name in commands(folder.path(), &[]) {
        assert!(page(&format!("time-traveler-{name}")).contains(&format!(".TH time-traveler-{name} 1")), "{name}");
    }
    for name in commands(folder.path(), &["bench"]) {
        assert!(page(&format!("time-traveler-bench-{name}")).contains("\\-\\-json"), "{name}");
    }
    assert_eq!(page("time-traveler"), succeeded(&run(folder.path(), &["man"])));
    std::fs::write(folder.path().join("file"), "").unwrap();
    let output = run(folder.path(), &["man", "file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the folder file cannot be created"), "{}", text(&output.stderr));
}
