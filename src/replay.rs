//! Every input that the fuzz targets keep, and every one that once broke something, run through the same checks.

use std::path::Path;

#[expect(unreachable_pub, reason = "the fuzz targets are a crate of their own")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

/// Inputs that a target begins with, and inputs that found a defect.
const KEPT: [&str; 2] = ["fuzz/corpus", "tests/cases/fuzz"];

/// How many inputs of the target are accepted, and how many are refused.
fn replay(name: &str) -> (usize, usize) {
    let (mut accepted, mut refused) = (0_usize, 0_usize);
    for kept in KEPT {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(kept).join(name);
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            // The test's output ends with the input that fails.
            tell(&path);
            let count = if targets::run(name, &bytes) { &mut accepted } else { &mut refused };
            *count = count.saturating_add(1);
        }
    }
    (accepted, refused)
}

#[expect(clippy::print_stdout, reason = "shown by the test runner when the test fails")]
fn tell(path: &Path) {
    println!("{}", path.display());
}

#[test]
fn every_kept_input_still_holds() {
    for (name, _) in targets::TARGETS {
        let (accepted, refused) = replay(name);
        assert!(accepted > 0 && refused > 0, "{name}: {accepted} inputs are accepted, {refused} are refused");
    }
}

#[test]
fn every_kept_directory_belongs_to_a_target() {
    for kept in KEPT {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(kept)).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(
                targets::TARGETS.iter().any(|(known, _)| name.to_str() == Some(known)),
                "{kept}/{}",
                name.display()
            );
        }
    }
}
