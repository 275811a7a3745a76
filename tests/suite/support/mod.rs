//! What the integration tests share: running the real binaries, scratch folders, real traces, and
//! models written to be obviously right.

#![allow(dead_code, unreachable_pub)]

pub mod engine;
pub mod figures;
pub mod fleet;
pub mod naive;
pub mod planted;
pub mod policies;
pub mod radix;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The binary of that name as built for this test run.
pub fn binary(name: &str) -> PathBuf {
    let path = match name {
        "trace-hash" => env!("CARGO_BIN_EXE_trace-hash"),
        "trace-stats" => env!("CARGO_BIN_EXE_trace-stats"),
        "trace-synth" => env!("CARGO_BIN_EXE_trace-synth"),
        "trace-cat" => env!("CARGO_BIN_EXE_trace-cat"),
        other => panic!("no such binary: {other}"),
    };
    path.into()
}

pub fn command(name: &str) -> Command {
    Command::new(binary(name))
}

/// The bytes as one frame of Zstandard, by another implementation than ours.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// What a finished run left behind, as text.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The standard output of a run that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, Some(0), "stderr: {}", self.stderr);
        self.stdout
    }
}

/// Runs a filter with `input` on its standard input.
pub fn run(name: &str, args: &[&str], input: impl AsRef<[u8]>) -> Ran {
    run_in(Path::new("."), name, args, input)
}

/// The same in another working folder.
pub fn run_in(folder: &Path, name: &str, args: &[&str], input: impl AsRef<[u8]>) -> Ran {
    let mut child = piped(command(name).args(args).current_dir(folder));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    // A filter that ends at the first bad line closes the pipe under the writer.
    let writer = std::thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran::of(&output)
}

/// A process whose three streams are pipes.
pub fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs a line of shell with the binaries on PATH.
pub fn shell(folder: &Path, line: &str) -> Ran {
    let bin = binary("trace-stats");
    let path = format!("{}:{}", bin.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", line])
        .current_dir(folder)
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran::of(&output)
}

pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("kvtrace-test-").tempdir().unwrap()
}

pub fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A file of the folder of real traces, which lies beside the checkout or where `KVTRACE_REAL` says.
/// Prints why and returns `None` where it is absent.
pub fn real(name: &str) -> Option<PathBuf> {
    let folder = std::env::var("KVTRACE_REAL")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not here", path.display());
    None
}

/// One line of a trace.
pub fn line(timestamp: u64, input: u64, output: u64, ids: &[u64]) -> String {
    format!(
        "{{\"timestamp\": {timestamp}, \"input_length\": {input}, \"output_length\": {output}, \"hash_ids\": {ids:?}}}\n"
    )
}

/// A trace of chats that go on from some place in an earlier one, four requests a second.
pub fn chats(requests: u64, seed: u64) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut out, mut next, mut chats) = (String::new(), 0, vec![Vec::new()]);
    for i in 0..requests {
        let mut ids: Vec<u64> = chats[rng.usize(..chats.len())].clone();
        ids.truncate(rng.usize(..=ids.len()));
        let new = rng.u64(1..9);
        ids.extend(next..next + new);
        next += new;
        out.push_str(&line(i * 250, ids.len() as u64 * 512 - rng.u64(..512), rng.u64(1..900), &ids));
        chats.push(ids);
    }
    out
}
