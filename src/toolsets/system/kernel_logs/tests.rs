//! The kernel's own buffer, and what stands in for it.

use proptest::prelude::*;
use serde_json::json;

use super::super::query::ask;
use super::*;

#[test]
fn without_the_buffer_the_next_source_is_asked_and_a_chosen_one_alone() {
    let board = Host::fixture("rpi-arm");
    let answer = ask::<Query>(&board, json!({})).unwrap();
    assert_eq!(answer["source"], "journal");
    assert!(answer["left_out"].to_string().contains("/dev/kmsg"), "{answer}");
    assert_eq!(ask::<Query>(&board, json!({"source": "file"})).unwrap()["source"], "file");
    let answer = ask::<Query>(&board, json!({"source": "buffer"})).unwrap();
    assert_eq!((answer.get("source"), answer["entries"].as_array().unwrap().len()), (None, 0));
}

#[test]
fn the_power_to_read_the_buffer_is_declared_where_the_kernel_asks_for_it() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
    for (text, needs) in [("0\n", &[][..]), ("1\n", &["CAP_SYSLOG"])] {
        std::fs::write(root.path().join("proc/sys/kernel/dmesg_restrict"), text).unwrap();
        let mut spec = Query::spec();
        Query::reach(&mut spec, &Host::folder(root.path()));
        assert_eq!(spec.needs.capabilities, needs);
    }
}

#[test]
fn severity_and_pattern_filter_the_buffer() {
    let host = Host::fixture("debian-vm");
    let answer = ask::<Query>(&host, json!({"severity": "critical"})).unwrap();
    assert_eq!(answer["entries"].as_array().unwrap().len(), 1);
    let answer = ask::<Query>(&host, json!({"pattern": "NVME"})).unwrap();
    assert_eq!(answer["entries"][0]["severity"], "error");
}

#[test]
fn a_buffer_without_end_is_read_no_further_than_the_cap() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("dev")).unwrap();
    let file = File::create(root.path().join("dev/kmsg")).unwrap();
    file.set_len(1 << 40).unwrap();
    let answer = ask::<Query>(&Host::folder(root.path()), json!({})).unwrap();
    assert_eq!(answer["entries"].as_array().unwrap().len(), 0);
}

#[test]
fn no_pattern_leaves_lines_of_a_key_or_tells_how_a_secret_goes_on() {
    const LINE: &str = "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6QUJDREVG";
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("dev")).unwrap();
    let messages = ["-----BEGIN PRIVATE KEY-----", LINE, LINE, "-----END PRIVATE KEY-----", "password=Qz7kLm"];
    let text: String = messages.iter().map(|message| format!("12,7,1000,-;{message}\n")).collect();
    std::fs::write(root.path().join("dev/kmsg"), text).unwrap();
    for (pattern, count) in [("^[A-Za-z0-9+/=]{40,64}$", 0), ("(?-i)password=Q", 0), (".", 5)] {
        let answer = ask::<Query>(&Host::folder(root.path()), json!({"pattern": pattern, "regex": true})).unwrap();
        assert_eq!(answer["entries"].as_array().unwrap().len(), count, "{pattern}: {answer}");
        assert!(!answer.to_string().contains(LINE) && !answer.to_string().contains("Qz7"), "{answer}");
    }
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in "\\PC*|[0-9]{0,22},[0-9]{0,3},[0-9]{0,22},-;[\\\\x0a]{0,9}") {
        if let Some(record) = Kmsg::parse(&text) {
            let _ = unescaped(record.message);
        }
    }
}
