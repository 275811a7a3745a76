//! Little memory, and input made to take much of it: limits are kept, what cannot be done within them
//! is an error with a message, and no run is ended by a signal.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use crate::support::{Ran, scratch, shell, write};
use fastrand::Rng;

/// Runs a line of shell within so many MiB of address space.
fn within(folder: &Path, mib: u32, line: &str) -> Ran {
    // Printing a backtrace takes memory of its own.
    shell(folder, &format!("unset RUST_BACKTRACE; ulimit -v $(({mib} * 1024)); {line}"))
}

/// The fewest MiB of address space in which the program starts. Below them the system ends it by a signal
/// before its first line runs, and how large it is depends on how it was built.
fn least(folder: &Path, program: &str) -> u32 {
    let starts = |mib: &u32| within(folder, *mib, &format!("{program} --version > out")).status == Some(0);
    (4..1000).find(starts).unwrap()
}

/// A trace of nothing but new blocks with names all over 64 bits.
fn scattered(requests: usize) -> String {
    let mut rng = Rng::with_seed(7);
    let mut text = String::new();
    for time in 0..requests {
        let ids: Vec<u64> = (0..20).map(|_| rng.u64(..)).collect();
        writeln!(text, "{{\"timestamp\": {time}, \"input_length\": 10240, \"hash_ids\": {ids:?}}}").unwrap();
    }
    text
}

/// A trace that is dense at first, then rises with gaps, then is scattered.
fn crafted(requests: u64) -> String {
    let mut text = String::new();
    for i in 0..requests {
        let id = |k: u64| match i * 3 / requests {
            0 => i * 20 + k,
            1 => (i * 20 + k) * 1000,
            _ => (i * 20 + k).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        let ids: Vec<u64> = (0..20).map(id).collect();
        writeln!(text, "{{\"timestamp\": {i}, \"input_length\": 10240, \"hash_ids\": {ids:?}}}").unwrap();
    }
    text
}

#[test]
fn limits_of_memory_are_kept_whatever_the_ids_are() {
    let folder = scratch();
    write(folder.path(), "scattered", scattered(60_000));
    write(folder.path(), "crafted", crafted(60_000));
    let prompts: String =
        (0..40_000_u64).map(|i| format!("{{\"prompt_token_ids\": {:?}}}\n", [i; 32])).collect();
    write(folder.path(), "prompts", prompts);
    // The address space has more than what is used: the program, the C library, and up to 64 MiB that
    // its allocator reserves for every further thread.
    for trace in ["scattered", "crafted"] {
        for (mib, line, message) in [
            (176, "trace-stats --max-memory 64Mi", None),
            (176, "trace-stats --max-memory 64Mi --curve --ttl 1s", None),
            (176, "trace-stats --max-memory 64Mi -w 1000req -c 100", None),
            (112, "trace-cat --sort --max-memory 16Mi --temp-dir .", None),
            (128, "trace-cat --check --max-memory 32Mi", None),
            (112, "trace-cat --renumber --max-memory 8Mi", Some("--max-memory")),
            (112, "trace-cat --tail 50000 --max-memory 8Mi", Some("--max-memory")),
            (176, "trace-synth -n 10 --max-memory 64Mi", Some("--max-memory")),
            (176, "trace-stats --partial --max-memory 64Mi", Some("--max-memory")),
        ] {
            let ran = within(folder.path(), mib, &format!("{line} {trace} > out"));
            match message {
                None => assert_eq!(ran.status, Some(0), "{line} {trace}: {}", ran.stderr),
                Some(message) => {
                    // What can be done in less memory, as of ids that rise, is done.
                    let done = ran.status == Some(0);
                    let said = ran.status == Some(1) && ran.stderr.contains(message);
                    assert!(done && trace == "crafted" || said, "{line} {trace}: {}", ran.stderr);
                }
            }
        }
    }
    let ran = within(folder.path(), 1000, "trace-hash -b1 -j1 --max-memory 400k prompts > out");
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("--max-memory (400000 bytes); --ids hash needs no memory"), "{}", ran.stderr);
    within(folder.path(), 1000, "trace-hash -b1 -j1 --max-memory 400k --ids hash prompts > out").ok();
}

#[test]
fn too_little_memory_is_an_error_and_no_crash() {
    let folder = scratch();
    let (trace, prompts) = (scattered(6000), "{\"prompt\": \"some words of a prompt\"}\n".repeat(2000));
    write(folder.path(), "trace", trace);
    write(folder.path(), "prompts", prompts);
    let (mut done, mut failed) = (0, 0);
    for line in [
        "trace-stats --curve --top 9 trace",
        "trace-cat --sort trace",
        "trace-cat --check trace",
        "trace-cat --renumber trace",
        "trace-synth -n 100 trace",
        "trace-hash -j 1 prompts",
        "trace-hash -j 40 prompts",
    ] {
        let least = least(folder.path(), line.split(' ').next().unwrap());
        // Its first thread needs room for its stack, which the system gives only when it is used.
        for mib in [3, 4, 6, 8, 16, 32, 64].map(|more| least + more) {
            // Where memory runs out just as that stack would grow, the system ends the program, and where a thread
            // that begins finds no room for what Rust keeps beside its stack, Rust does; that is chance.
            let mut runs = (0..40).map(|_| within(folder.path(), mib, &format!("{line} > out")));
            let by_chance = |ran: &Ran| {
                matches!(ran.status, None | Some(139)) || ran.stderr.contains("alternative stack")
            };
            let ran = runs.find(|ran| !by_chance(ran)).unwrap();
            if ran.status == Some(0) {
                done += 1;
            } else {
                assert_eq!(ran.status, Some(1), "{line} in {mib} MiB: {}", ran.stderr);
                assert!(!ran.stderr.is_empty() && !ran.stderr.contains("panicked"), "{line}: {}", ran.stderr);
                failed += 1;
            }
        }
    }
    assert!(done > 5 && failed > 5, "{done} done, {failed} failed");
}

/// Writes `mib` MiB of zeros, compressed.
fn bombs(folder: &Path, mib: usize) {
    let zeros = vec![0; 64 << 20];
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(4));
    encoder.write_all(&zeros).unwrap();
    // Members one behind the other are one file.
    write(folder, "bomb.gz", encoder.finish().unwrap().repeat(mib / 64));
    // The largest window that a decoder takes without being asked to, and blocks that repeat one byte.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (27 - 10) << 3];
    for n in (0..mib * 8).rev() {
        let header = u32::from(n == 0) | 1 << 1 | (128 << 10) << 3;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    write(folder, "bomb.zst", frame);
    // Empty members only, and many of them.
    write(folder, "empty.gz", flate2_empty().repeat(100_000));
}

fn flate2_empty() -> Vec<u8> {
    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()).finish().unwrap()
}

#[test]
fn a_bomb_is_a_line_too_long_in_little_memory() {
    let folder = scratch();
    // `KVTRACE_BOMB=10240` tries ten gigabytes.
    let mib = std::env::var("KVTRACE_BOMB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(512);
    bombs(folder.path(), mib);
    for name in ["trace-stats", "trace-cat", "trace-synth", "trace-hash -j 1"] {
        for bomb in ["bomb.gz", "bomb.zst"] {
            // A line may take 64 MiB, whose buffer doubles, and a window of zstd 128 MiB, which
            // doubles too. Each thread, such as that which decompresses, reserves 64 MiB of addresses for a heap
            // of its own.
            let limit = if bomb == "bomb.gz" { 464 } else { 752 };
            let ran = within(folder.path(), limit, &format!("{name} {bomb}"));
            let program = name.split(' ').next().unwrap();
            let expected = format!("{program}: {bomb}:1: line longer than 67108864 bytes (see --max-line)\n");
            assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(1), "", &*expected));
        }
    }
    // Read past, in less memory still.
    for (bomb, mib) in [("bomb.gz", 112), ("bomb.zst", 448)] {
        let line = format!("trace-stats --max-line 1Mi --skip-invalid {bomb}");
        let ran = within(folder.path(), mib, &line);
        assert_eq!(ran.status, Some(1));
        let start = "trace-stats: no valid record among 1 (first: ";
        assert!(ran.stderr.starts_with(start), "{}", ran.stderr);
    }
    let ran = within(folder.path(), 112, "trace-cat empty.gz");
    assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
}

#[test]
fn a_line_without_an_end_is_refused_where_it_is_too_long() {
    let folder = scratch();
    for name in ["trace-stats", "trace-cat", "trace-synth", "trace-hash"] {
        // The reader ends the endless writer.
        let line = format!("set +o pipefail; tr '\\0' x < /dev/zero | {name} --max-line 1Mi");
        let ran = shell(folder.path(), &line);
        let expected = format!("{name}: -:1: line longer than 1048576 bytes (see --max-line)\n");
        assert_eq!((ran.status, &*ran.stderr), (Some(1), &*expected));
    }
}
