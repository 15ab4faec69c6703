//! A configuration file: any text is read to its end or to its findings, and what was read can be written and read again.

use doorward::config::fuzzing::read;
use doorward::config::{Environment, Refused};

const TOOLS: &[&str] = &["get_cpu_info", "get_uptime", "list_processes"];

/// Filler in the place of an HMAC key.
const FILLER: &str = "0123456789abcdef0123456789abcdef";

/// Lines at the start such as `#DOORWARD__LOG__LEVEL=debug` are comments to YAML and put the rest in the environment.
pub fn run(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match read(text, &environment(text), TOOLS) {
        Ok(loaded) => {
            let told = format!("{loaded:?}");
            let once = text.matches("FILLER").count() == 1;
            assert!(!(once && loaded.jwt_secret().is_some() && told.contains(FILLER)), "a secret is told");
            assert!(!loaded.notes().refuses());
            let written = serde_json::to_string(&loaded.config).expect("a configuration can be written");
            // A variable that was put in, or a `$` that was escaped, would be read once more.
            if !written.contains('$')
                && let Ok(mut again) = read(&written, &Environment::default(), TOOLS)
            {
                // A path that is written, as it is there, turns the log on.
                again.config.audit.enabled = loaded.config.audit.enabled;
                assert_eq!(again.config, loaded.config);
            }
            true
        }
        Err(Refused::Found(report)) => {
            assert!(report.refuses() && report.count() > 0);
            assert!(!report.to_string().is_empty());
            false
        }
        Err(Refused::Unreadable(failure)) => panic!("{failure}: {:?}", failure.cause()),
    }
}

fn environment(text: &str) -> Environment {
    let fixed = [("FILLER", FILLER), ("HOST", "auth.example"), ("EMPTY", "")];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let given = text.lines().map_while(|line| line.strip_prefix('#')?.split_once('=')).take(4);
    fixed.chain(given.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}
