//! From a file and the environment to a configuration that can be used, or to all the reasons why it cannot.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::check::{self, Given};
use super::environment::{self, Environment};
use super::fit::fit;
use super::place::{KeyPath, Place, Source};
use super::references::{Reference, SECRETS, explain};
use super::report::{Finding, Report};
use super::shape::Shape;
use super::tree::Node;
use super::{Config, schema, yaml};
use crate::clock::Timestamp;
use crate::error::{Code, Failure};
use crate::pki::file;
use crate::secret::Secret;
use crate::transport::TransportKind;

/// Bytes a configuration file may have.
const FILE_BYTES: u64 = 1_048_576;

/// A configuration without findings.
#[derive(Debug)]
pub struct Loaded {
    /// What it says. Secrets are not in it, only what the file says in their place.
    pub config: Config,
    notes: Report,
    secrets: Secrets,
    files: Vec<PathBuf>,
}

/// Secrets by key.
pub(super) type Secrets = BTreeMap<&'static str, Secret<String>>;

impl Loaded {
    /// Adds what is worth knowing about a key and only those find out who use the whole configuration.
    pub fn note(&mut self, key: &str, text: String) {
        let file = self.files.first().map(|path| Source::File(path.display().to_string().into()));
        let place = Place::start(file.unwrap_or(Source::Defaults));
        let notes = self.notes.findings().iter().cloned().chain([Finding::note(place, &KeyPath::from(key), text)]);
        self.notes = Report::new(notes.collect());
    }

    /// What is worth knowing although nothing is refused for it.
    #[must_use]
    pub fn notes(&self) -> &Report {
        &self.notes
    }

    /// The key for HS256 that `auth.jwt.secret` refers to.
    #[must_use]
    pub fn jwt_secret(&self) -> Option<&Secret<String>> {
        self.secrets.get("auth.jwt.secret")
    }

    /// The files to watch: the configuration itself, and what it names.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum Refused {
    /// The file cannot be read.
    Unreadable(Failure),
    /// It was read, and this is wrong with it.
    Found(Report),
}

impl Refused {
    /// The files that were looked at before it was refused.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Unreadable(_) => &[],
            Self::Found(report) => report.files(),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(failure) => write!(f, "{failure}"),
            Self::Found(report) => write!(f, "{report}"),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unreadable(failure) => failure,
            Refused::Found(report) => report.into(),
        }
    }
}

/// Reads `path` with the environment above it, and checks it against the machine it is on, as things are at the time `now`.
/// `tools` are the names of the tools there are. Reads that file and those that it names, so it blocks.
///
/// # Errors
/// When the file cannot be read, or all findings at once.
pub fn load(path: &Path, environment: &Environment, tools: &[&str], now: Timestamp) -> Result<Loaded, Refused> {
    let bytes = contents(path).map_err(Refused::Unreadable)?;
    let name: Arc<str> = path.display().to_string().into();
    let source = Source::File(name);
    let ours = guarded(path, &source);
    let found = |findings: Vec<Finding>| Refused::Found(Report::new(findings).about(vec![path.to_owned()]));
    let text = text(bytes, &source).map_err(|finding| found(ours.iter().cloned().chain([finding]).collect()))?;
    match read(&text, source, environment, tools, now) {
        Ok(_) if ours.is_some() => Err(found(ours.into_iter().collect())),
        Ok(mut loaded) => {
            loaded.files.insert(0, path.to_owned());
            Ok(loaded)
        }
        Err(Refused::Found(report)) => {
            let files = std::iter::once(path.to_owned()).chain(report.files().iter().cloned()).collect();
            let findings = report.findings().iter().cloned().chain(ours).collect();
            Err(Refused::Found(Report::new(findings).about(files)))
        }
        Err(refused @ Refused::Unreadable(_)) => Err(refused),
    }
}

/// Where a configuration (or none) puts the audit log, whatever else is wrong with it: who has to read the log may have
/// nothing else that works.
///
/// # Errors
/// When the file cannot be read or is not YAML.
pub fn audit_path(path: Option<&Path>, environment: &Environment) -> Result<PathBuf, Failure> {
    Ok(path_at(path, environment, "/audit/path")?.unwrap_or_else(|| Config::default().audit.path))
}

/// Where a configuration puts the socket for operators, whatever else is wrong with it; none if it does not say.
///
/// # Errors
/// When the file cannot be read or is not YAML.
pub fn operator_socket(path: Option<&Path>, environment: &Environment) -> Result<Option<PathBuf>, Failure> {
    path_at(path, environment, "/operator/socket")
}

fn path_at(path: Option<&Path>, environment: &Environment, pointer: &str) -> Result<Option<PathBuf>, Failure> {
    let (text, source) = match path {
        Some(path) => {
            let source = Source::File(path.display().to_string().into());
            let text = text(contents(path)?, &source);
            (text.map_err(|finding| Refused::Found(Report::new(vec![finding])))?, source)
        }
        None => (String::new(), Source::Defaults),
    };
    let shape = shape()?;
    let (mut tree, _) = yaml::parse(&text, &source).map_err(|findings| Refused::Found(Report::new(findings)))?;
    environment::overlay(&mut tree, shape, environment);
    let fitted = fit(&tree, shape, environment).value;
    Ok(fitted.pointer(pointer).and_then(serde_json::Value::as_str).map(PathBuf::from))
}

/// The beginning of a file, one byte more than it may have.
fn contents(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: std::io::Error| {
        let cause = format!("{}: {}", path.display(), explain(&error));
        Failure::new(Code::Io, "the configuration file cannot be read").because(cause)
    };
    let mut bytes = Vec::new();
    let file = file::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The configuration when there is no file: the defaults, with the environment above them.
///
/// # Errors
/// All findings at once.
pub fn defaults(environment: &Environment, tools: &[&str], now: Timestamp) -> Result<Loaded, Refused> {
    read("", Source::Defaults, environment, tools, now)
}

/// What is wrong with a configuration that somebody else can write.
fn guarded(path: &Path, source: &Source) -> Option<Finding> {
    let open = file::guarded(path).err()?;
    let finding = Finding::new(Place::start(source.clone()), &KeyPath::default(), open.problem);
    Some(finding.advise(open.advice))
}

fn text(bytes: Vec<u8>, source: &Source) -> Result<String, Finding> {
    let start = Place::start(source.clone());
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES {
        return Err(Finding::new(start, &KeyPath::default(), format!("the file is larger than {FILE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let lines = before.filter(|byte| **byte == b'\n').count();
        let place = Place { line: lines.saturating_add(1), ..start };
        Finding::new(place, &KeyPath::default(), "the file is not UTF-8 text")
    })
}

/// Reads `text` and puts the environment above it.
pub(super) fn read(
    text: &str,
    source: Source,
    environment: &Environment,
    tools: &[&str],
    now: Timestamp,
) -> Result<Loaded, Refused> {
    let shape = shape().map_err(Refused::Unreadable)?;
    let (mut tree, mut findings) =
        yaml::parse(text, &source).map_err(|findings| Refused::Found(Report::new(findings)))?;
    findings.extend(environment::overlay(&mut tree, shape, environment));
    let fitted = fit(&tree, shape, environment);
    findings.extend(fitted.findings);
    let mut config: Config = serde_json::from_value(fitted.value).map_err(|error| {
        // What fits the schema fits the structs; if it ever does not, that is a defect, and no configuration either.
        Refused::Unreadable(
            Failure::new(Code::Internal, "the configuration does not fit its own schema").because(error),
        )
    })?;
    // Who says where records go wants them, also over stdio, where nobody who says nothing gets any.
    let wrote = |key: &str| tree.at(&key.into()).is_some_and(Node::says_something);
    if config.transport.uses(TransportKind::Stdio) && wrote("audit.path") {
        config.audit.enabled.get_or_insert(true);
    }
    // Who says anything of tokens wants them, also over a unix socket, where nobody who says nothing is asked for one.
    if config.transport.uses(TransportKind::Unix) && wrote("auth.jwt") {
        config.auth.enabled.get_or_insert(true);
    }
    let secrets = secrets(&tree, environment, &mut findings);
    let mut files = config.files();
    files.extend(secrets.files);
    let given =
        Given { config: &config, tree: &tree, tools, secrets: &secrets.values, left_out: &fitted.left_out, now };
    findings.extend(check::check(&given));
    let report = Report::new(findings);
    if report.refuses() {
        return Err(Refused::Found(report.about(files)));
    }
    Ok(Loaded { config, notes: report, secrets: secrets.values, files })
}

/// The shape of all configurations, made when the first is read.
fn shape() -> Result<&'static Shape, Failure> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    match SHAPE.get() {
        Some(shape) => Ok(shape),
        None => Shape::read(&schema()).map(|shape| SHAPE.get_or_init(|| shape)),
    }
}

#[derive(Default)]
struct Resolved {
    values: Secrets,
    files: Vec<PathBuf>,
}

/// Fetches every secret that the tree refers to.
fn secrets(tree: &Node, environment: &Environment, findings: &mut Vec<Finding>) -> Resolved {
    let mut resolved = Resolved::default();
    for key in SECRETS {
        let path = KeyPath::from(*key);
        let Some(reference) = tree.at(&path).and_then(Node::text).and_then(Reference::parse) else { continue };
        match reference.resolve(environment) {
            Ok(secret) => {
                resolved.values.insert(*key, secret);
            }
            Err(problem) => findings.push(Finding::new(tree.place_of(&path), &path, problem)),
        }
        if let Reference::File(path) = reference {
            if let (true, Err(open)) = (resolved.values.contains_key(*key), file::guarded(&path)) {
                let finding = Finding::new(tree.place_of(&KeyPath::from(*key)), &KeyPath::from(*key), open.problem);
                findings.push(finding.advise(open.advice));
            }
            resolved.files.push(path);
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Severity;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }

    fn problems(text: &str) -> String {
        match read(text, Source::File("f".into()), &Environment::default(), &[], now()) {
            Ok(_) => String::new(),
            Err(refused) => refused.to_string(),
        }
    }

    #[test]
    fn a_missing_file_is_told_apart_from_a_wrong_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("doorward.yaml");
        let load = || load(&path, &Environment::default(), &[], now());
        assert!(matches!(load(), Err(Refused::Unreadable(_))));
        // A pipe that nobody writes to would be waited for.
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        assert!(
            matches!(load(), Err(Refused::Unreadable(failure)) if failure.cause().unwrap().contains("not a regular file"))
        );
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"transport: stdio\n# \xff\n").unwrap();
        assert!(load().unwrap_err().to_string().ends_with("doorward.yaml:2:1: the file is not UTF-8 text"));
        std::fs::write(&path, " ".repeat(1_048_577)).unwrap();
        assert!(load().unwrap_err().to_string().contains("larger than"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let open = load().unwrap_err().to_string();
        assert!(
            open.contains("larger than") && open.contains("can be written by others (mode 0666); chmod go-w"),
            "{open}"
        );
        std::fs::write(&path, "scopes: {}\n").unwrap();
        assert!(matches!(load(), Err(Refused::Found(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(load().unwrap().files(), std::slice::from_ref(&path));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused_before_it_grows() {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (one, next) in "abcdefghi".chars().zip("bcdefghij".chars()) {
            text.push_str(&format!("{next}: &{next} [*{one}, *{one}, *{one}, *{one}, *{one}, *{one}]\n"));
        }
        assert!(problems(&text).contains("aliases are not read"));
        assert!(problems(&"[".repeat(100_000)).contains("not YAML"));
        assert!(problems(&"- ".repeat(100_000)).contains("not YAML"));
        assert!(problems(&format!("transport: [{}]", "x,".repeat(30_000))).contains("more than"));
    }

    #[test]
    fn a_secret_is_apart_from_what_can_be_printed() {
        let secret = "an-hmac-key-of-thirty-two-bytes!";
        let environment: Environment = [("KEY".to_owned(), secret.to_owned())].into_iter().collect();
        let loaded = read(
            "transport: stdio\nauth: {jwt: {secret: '${KEY}'}}",
            Source::File("f".into()),
            &environment,
            &["get_cpu_info"],
            now(),
        );
        // The default scopes name tools that this test does not have, which is no finding: nobody wrote them.
        let loaded = loaded.unwrap();
        assert_eq!(loaded.jwt_secret().unwrap().expose(), secret);
        assert!(!format!("{loaded:?}").contains(secret));
        assert_eq!(loaded.config.auth.jwt.secret.as_deref(), Some("${KEY}"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            let _ = problems(&text);
        }

        #[test]
        fn any_text_made_of_yaml_marks_is_read_without_panic(
            text in "([a-c:&*!|>'\"{}\\[\\],#%@`?~ \\-\\n\t0-9.$]|transport|auth|jwt|secret|scopes|\\$\\{A\\}|\\u{feff}|\r){0,60}",
            value in any::<String>(),
        ) {
            let names = ["DOORWARD__AUTH__JWT__SECRET", "doorward__scopes__core", "DOORWARD__TLS__BIND", "DOORWARD__", "A"];
            let environment = names.into_iter().map(|name| (name.to_owned(), value.clone())).collect();
            let _ = read(&text, Source::File("f".into()), &environment, &["get_uptime"], now());
        }

        /// The schema that editors use and the reading of files say the same about what fits.
        #[test]
        fn what_fits_is_what_the_schema_allows(
            section in "transport|log|auth|limits|tls|resources|scopes|x",
            key in "level|enabled|max_array_items|jwt|min_version|allowed_subjects|query_cpu_percent|rate_limit|core",
            value in "info|true|0|7|101|'1\\.3'|\\[\\]|\\['a', 'b'\\]|\\{\\}|\\{max_ttl: [0-9]{1,6}\\}|\\{burst: -?1\\}|stdio",
            nested: bool,
        ) {
            let text = if nested { format!("{section}: {{{key}: {value}}}") } else { format!("{section}: {value}") };
            let schema = schema();
            let shape = Shape::read(&schema).unwrap();
            let validator = jsonschema::validator_for(&schema).unwrap();
            let (tree, _) = yaml::parse(&text, &Source::Defaults).map_err(|_| "yaml").unwrap();
            let fitted = fit(&tree, &shape, &Environment::default());
            let fits = fitted.findings.iter().all(|finding| finding.severity() == Severity::Note);
            prop_assert_eq!(fits, validator.is_valid(&tree.plain_json()), "{}", text);
            prop_assert!(serde_json::from_value::<Config>(fitted.value).is_ok(), "{}", text);
        }
    }
}
