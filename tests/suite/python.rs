//! The Python module, by its own tests, which run the programs built here.

use std::path::Path;
use std::process::Command;

#[test]
fn the_python_module_runs_the_programs() {
    let supported = "import sys; sys.exit(sys.version_info < (3, 9))";
    if !Command::new("python3").args(["-c", supported]).status().is_ok_and(|status| status.success()) {
        println!("skipped: no python3 of 3.9 or newer");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let programs = crate::support::binary("trace-stats").parent().unwrap().to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("python3");
    command.args(["-B", "-m", "unittest", "discover", "-s", "tests", "-t", "."]);
    let ran = command.current_dir(&folder).env("PYTHONPATH", &folder).env("PATH", path).output().unwrap();
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{stderr}");
    assert!(stderr.contains("OK"), "{stderr}");
}
