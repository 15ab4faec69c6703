//! No path leads out of the folder, nothing over its cap is read, and nothing in place of a file holds anybody up.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn no_path_and_no_link_leads_out_of_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    std::fs::create_dir_all(root.join("proc")).unwrap();
    std::fs::write(outer.path().join("secret"), "secret").unwrap();
    std::fs::write(root.join("proc/inside"), "inside").unwrap();
    symlink("../../secret", root.join("proc/up")).unwrap();
    symlink(outer.path().join("secret"), root.join("proc/absolute")).unwrap();
    symlink("/proc/inside", root.join("proc/rooted")).unwrap();
    let host = Host::folder(&root);
    for path in ["../secret", "proc/../../secret", "/etc/passwd", "./proc/inside", "proc/up", "proc/absolute"] {
        assert_eq!(host.read(path).unwrap_err().code(), Code::ToolFailed, "{path}");
    }
    assert_eq!(host.read("proc/inside").unwrap(), "inside");
    assert_eq!(host.read("proc/rooted").unwrap(), "inside");
    assert_eq!(host.list("proc"), ["absolute", "inside", "rooted", "up"]);
    assert!(host.list("proc/..").is_empty());
    assert!(Host::this().read("../etc/passwd").is_err());
}

#[test]
fn a_file_over_the_cap_is_a_failure_not_half_an_answer() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("large"), vec![b'x'; FILE_BYTES + 1]).unwrap();
    let host = Host::folder(root.path());
    assert!(host.read("large").unwrap_err().public().contains("too large"));
    assert_eq!(host.start("large", 3).unwrap(), (b"xxx".to_vec(), true));
    assert!(host.read("").is_err());
}

#[test]
fn a_long_file_is_read_line_by_line_and_no_further_than_the_cap() {
    let root = tempfile::tempdir().unwrap();
    let long = "y".repeat(usize::try_from(LINE_BYTES).unwrap() + 9);
    std::fs::write(root.path().join("lines"), format!("one\n{long}\n\nlast")).unwrap();
    let host = Host::folder(root.path());
    let mut lengths = Vec::new();
    let mut take = |line: &str| {
        lengths.push(line.len());
        ControlFlow::Continue(())
    };
    assert!(host.each_line("lines", &mut take).unwrap());
    assert_eq!(lengths, [3, usize::try_from(LINE_BYTES).unwrap(), 0, 4]);
    assert!(!host.each_line("lines", |_| ControlFlow::Break(())).unwrap());
    let sparse = File::create(root.path().join("sparse")).unwrap();
    sparse.set_len(STREAM_BYTES + 1).unwrap();
    assert!(!host.each_line("sparse", |_| ControlFlow::Continue(())).unwrap());
    assert!(host.each_line("gone", |_| ControlFlow::Continue(())).is_err());
}

#[test]
fn links_are_read_and_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let fd = root.path().join("fd");
    std::fs::create_dir(&fd).unwrap();
    std::fs::write(fd.join("3"), "").unwrap();
    symlink("socket:[42]", fd.join("4")).unwrap();
    symlink("../fd", fd.join("5")).unwrap();
    let host = Host::folder(root.path());
    assert_eq!((host.link("fd/4").as_deref(), host.link("fd/3")), (Some("socket:[42]"), None));
    assert_eq!(host.link_name("fd/5").as_deref(), Some("fd"));
    assert_eq!(host.open_files(7, |_| ControlFlow::Continue(())).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(host.has("fd/3") && !host.has("fd/4"));
}

#[test]
fn a_pipe_and_a_circle_of_links_hold_nobody_up() {
    let root = tempfile::tempdir().unwrap();
    let pipe = root.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    symlink("circle", root.path().join("circle")).unwrap();
    let host = Host::folder(root.path());
    assert_eq!(host.find("pipe").unwrap_or_default(), "");
    assert!(host.each_line("pipe", |_| ControlFlow::Continue(())).is_ok());
    assert!(host.find("circle").is_none() && host.names("circle").is_err());
}

#[test]
fn only_a_regular_file_is_read_as_text() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("file"), "a\u{e9}\n").unwrap();
    std::fs::create_dir(root.path().join("folder")).unwrap();
    symlink("file", root.path().join("link")).unwrap();
    symlink("self", root.path().join("self")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.path().join("pipe"), FileType::Fifo, 0o600.into(), 0).unwrap();
    let host = Host::folder(root.path());
    assert_eq!(host.text("link", 16).unwrap(), ("a\u{e9}\n".to_owned(), false));
    assert_eq!(host.text("file", 2).unwrap(), ("a\u{fffd}".to_owned(), true));
    for path in ["folder", "pipe", "self", "none", "../file"] {
        assert!(host.text(path, 16).is_err(), "{path}");
    }
    assert!(Host::this().text("dev/null", 16).is_err());
    assert!(Host::this().text("proc/self/status", 1 << 20).unwrap().0.starts_with("Name:"));
}

#[test]
fn a_folder_knows_no_room_and_the_machine_knows_its_own() {
    assert!(Host::folder("/").space("/").is_err());
    assert!(Host::this().space("/").unwrap().size > 0);
}
