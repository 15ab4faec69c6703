//! Secrets on lines of their own, behind the line that names them: values and blocks of YAML, texts in three quotes, elements
//! of XML, headers that go on, the data of a Secret of Kubernetes.

use std::ops::Range;
use std::sync::OnceLock;

use regex::Regex;

use super::assignments::FIELD;
use super::builtin::KUBERNETES;
use super::innocent;
use super::manifest;
use super::names::{NAME, SHORT_NAME};
use super::redact::REDACTED;

/// Words without which none of these is there, besides those of the names; in any case.
pub(super) const WORDS: [&str; 4] = ["private key", "ls0tls1crudjti", "private-lines", "sensitive"];
/// Names the rules about headers.
const HEADER: &str = "authorization";
/// Lines of one secret that are looked at.
const MOST_LINES: usize = 1024;
/// Bytes of a line that is looked at, and bytes around one that may belong to the same secret.
const LONGEST: usize = 4096;
const FAR: usize = 64 << 10;
/// Letters of a header's value that stand alone on the line behind it.
const LONG: usize = 16;

/// Whether a line that could hold a secret calls for a look at those behind it.
pub(super) fn calls(line: &str) -> bool {
    let end = line.trim_ascii_end();
    end.ends_with([':', '|', '>', '-', '+', '"', '\'', '[', ',', ';'])
        || ["PRIVATE KEY", "LS0tLS1CRUdJTi", "Private-Lines:", "\"sensitive\"", "Secret", "password", "uthorization"]
            .iter()
            .any(|word| end.contains(word))
        || end.contains(": |")
        || end.contains(": >")
        || end.contains('#')
}

/// What is found: where, and by which rule.
pub(super) type Found = (Range<usize>, &'static str);

/// All of them in `text`, of which these lines call for a look. What cannot be looked at goes whole.
pub(super) fn find(text: &str, calling: &[Range<usize>]) -> Vec<Found> {
    let Some(patterns) = patterns() else { return vec![(0..text.len(), FIELD)] };
    let mut found: Vec<Found> = Vec::new();
    let (mut done, mut manifests, mut documents): (usize, Vec<Range<usize>>, bool) = (0, Vec::new(), false);
    for line in calling.iter().filter(|line| line.len() <= LONGEST) {
        let Some(own) = text.get(line.clone()).map(str::trim_ascii_end) else { continue };
        if line.start < done {
            continue;
        }
        let block = match own.as_bytes().last() {
            Some(b'"' | b'\'') => patterns.quotes(text, line, own),
            Some(b'>') => patterns.element(text, line, own).or_else(|| patterns.yaml(text, line, own)),
            _ => patterns.yaml(text, line, own),
        };
        let block = block.map(|range| (range, FIELD));
        let block = block.or_else(|| Some((patterns.header(text, line, own)?, HEADER)));
        if let Some((range, name)) = block.filter(|(range, _)| is_secret(text, range)) {
            done = range.end;
            found.push((range, name));
        }
        if own.contains("kind") && own.contains("Secret") {
            manifests.push(line.clone());
            documents |= own.contains("\"Secret\"");
        }
    }
    if !manifests.is_empty() {
        found.extend(manifest::data(text, &manifests).into_iter().map(|range| (range, KUBERNETES)));
    }
    if documents {
        found.extend(patterns.documents(text).into_iter().map(|range| (range, KUBERNETES)));
    }
    found.retain(|(range, _)| is_secret(text, range));
    found
}

/// Whether something is left to take out.
fn is_secret(text: &str, range: &Range<usize>) -> bool {
    let bare = text.get(range.clone()).unwrap_or_default().trim_matches(['"', '\'', ',', ' ']);
    !bare.is_empty() && bare != REDACTED
}

/// The lines behind a place of a text, as many as are looked at, without their ends.
fn behind(text: &str, end: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = end.saturating_add(1);
    text.get(at..).unwrap_or_default().split('\n').take(MOST_LINES).map(move |line| {
        let start = at;
        at = at.saturating_add(line.len()).saturating_add(1);
        start..start.saturating_add(line.trim_end_matches('\r').len())
    })
}

/// So much behind a place of a text as one secret may have.
fn near(text: &str, end: usize) -> &str {
    let behind = text.get(end..).unwrap_or_default();
    behind.get(..behind.floor_char_boundary(FAR)).unwrap_or_default()
}

struct Patterns {
    yaml: Regex,
    quotes: Regex,
    element: Regex,
    header: Regex,
    more: Regex,
    kind: Regex,
    data: Regex,
    member: Regex,
}

fn patterns() -> Option<&'static Patterns> {
    static PATTERNS: OnceLock<Option<Patterns>> = OnceLock::new();
    PATTERNS.get_or_init(|| Patterns::compile().ok()).as_ref()
}

impl Patterns {
    fn compile() -> Result<Self, regex::Error> {
        let any = format!("(?:{NAME}|{SHORT_NAME})");
        Ok(Self {
            yaml: Regex::new(&format!(
                r#"(?i)^(?:(?:.*["'=])?([ \t]*(?:-[ \t]+){{0,8}})|.*[ \t])["']?[a-z0-9_.-]{{0,64}}?{any}["']?[ \t]*:[ \t]*([|>][0-9+-]{{0,2}})?[ \t]*(?:#.*)?$"#
            ))?,
            quotes: Regex::new(&format!(
                r#"(?i)(?:^|[\s"'=,{{])["']?[a-z0-9_.-]{{0,64}}?{any}["']?[ \t]*[:=][ \t]*("""|''')[ \t]*$"#
            ))?,
            element: Regex::new(&format!(
                r"(?i)<[a-z0-9:_.-]{{0,64}}?{any}(?:[ \t][^<>]*[^<>/])?>[ \t]*(?:<!\[CDATA\[)?[ \t]*$"
            ))?,
            header: Regex::new(
                r#"(?i)(?:authorization["']?[ \t]*:[ \t]*(?:(?:\[redacted\]|bearer|basic|digest|token|apikey|negotiate|ntlm|oauth|hawk|signature|aws4-[a-z0-9-]+)(?:[ \t]+[^\n]*,)?)?|cookie[ \t]*:[^\n]*;)[ \t]*$"#,
            )?,
            more: Regex::new(
                r#"^[ \t]+(?:[A-Za-z0-9_-]+[ \t]+)?(?:[A-Za-z0-9_-]+=\S|[A-Za-z0-9._~+/=-]{16,}[ \t]*$)"#,
            )?,
            kind: Regex::new(r#""kind"\s*:\s*"Secret""#)?,
            data: Regex::new(r#""(?:data|stringData)"\s*:\s*\{([^{}]*)\}"#)?,
            member: Regex::new(r#":\s*"((?:[^"\\]|\\.)+)""#)?,
        })
    }

    /// `password:` with the value on the next line, or a block behind it.
    fn yaml(&self, text: &str, own_line: &Range<usize>, own: &str) -> Option<Range<usize>> {
        let groups = self.yaml.captures(own)?;
        // Behind other words only a block is one.
        let indent = groups.get(1).or(groups.get(2)).map(|_| groups.get(1).map_or(0, |indent| indent.len()))?;
        let line = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
        let deeper = |range: &Range<usize>| line(range).trim().is_empty() || blanks(line(range)) > indent;
        let mut full = behind(text, own_line.end).take_while(deeper).filter(|range| !line(range).trim().is_empty());
        let first = full.next()?;
        let start = first.start.saturating_add(blanks(line(&first)));
        if groups.get(2).is_some() {
            return Some(start..full.last().unwrap_or(first).end);
        }
        value(text, start, first.end)
    }

    /// `password = """`, up to the quotes that end it.
    fn quotes(&self, text: &str, line: &Range<usize>, own: &str) -> Option<Range<usize>> {
        let quotes = self.quotes.captures(own)?.get(1)?.as_str();
        let end = near(text, line.end).find(quotes)?;
        trimmed(text, line.end..line.end.saturating_add(end))
    }

    /// `<password>` with its text on the lines behind it.
    fn element(&self, text: &str, line: &Range<usize>, own: &str) -> Option<Range<usize>> {
        self.element.is_match(own).then_some(())?;
        let behind = near(text, line.end);
        let end = behind.find(['<', ']'])?;
        let closes = behind.get(end..).is_some_and(|end| end.starts_with("</") || end.starts_with("]]>"));
        closes.then(|| trimmed(text, line.end..line.end.saturating_add(end))).flatten()
    }

    /// A header whose value goes on, on lines that begin with a blank.
    fn header(&self, text: &str, line: &Range<usize>, own: &str) -> Option<Range<usize>> {
        self.header.is_match(own).then_some(())?;
        let more = |range: &Range<usize>| text.get(range.clone()).is_some_and(|line| self.more.is_match(line));
        let last = behind(text, line.end).take_while(more).last()?;
        trimmed(text, line.end..last.end).filter(|range| range.len() >= LONG)
    }

    /// The data of a Secret in JSON.
    fn documents(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut done: usize = 0;
        for kind in self.kind.find_iter(text) {
            if kind.start() < done {
                continue;
            }
            let range = object_around(text, kind.start());
            done = range.end;
            let Some(object) = text.get(range.clone()) else { continue };
            for data in self.data.captures_iter(object).filter_map(|groups| groups.get(1)) {
                let start = range.start.saturating_add(data.start());
                let secrets = self.member.captures_iter(data.as_str()).filter_map(|groups| groups.get(1));
                found.extend(secrets.map(|one| start.saturating_add(one.start())..start.saturating_add(one.end())));
            }
        }
        found
    }
}

/// The value of YAML between two places of a line, if it is one and no word that stands there in prose.
fn value(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    let whole = text.get(start..end)?.trim_end().trim_end_matches(',');
    let quote = whole.chars().next().filter(|first| matches!(first, '"' | '\''));
    if let Some(quote) = quote {
        let inner = whole.get(1..)?;
        let length = inner.rfind(quote).unwrap_or(inner.len());
        let rest = inner.get(length..)?.get(1..).unwrap_or_default();
        let start = start.saturating_add(1);
        return (rest.is_empty() && !inner.contains("\": ")).then(|| start..start.saturating_add(length));
    }
    let starts = whole.starts_with(['-', '#', '{', '[', '<', '}', ']', '*', '&', '!', '@']);
    let plain = !starts && !whole.ends_with(':') && !whole.contains([' ', '\t']) && !innocent::is_no_value(whole);
    plain.then(|| start..start.saturating_add(whole.len()))
}

/// `range` without the blanks and line ends at its ends.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let part = text.get(range.clone())?;
    let start = range.start.saturating_add(part.len().saturating_sub(part.trim_start().len()));
    let end = range.end.saturating_sub(part.len().saturating_sub(part.trim_end().len()));
    (start < end).then_some(start..end)
}

/// How far a line is indented.
pub(super) fn blanks(line: &str) -> usize {
    line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// The object of JSON around a byte of it, as far as it can be seen.
fn object_around(text: &str, at: usize) -> Range<usize> {
    let bytes = text.as_bytes();
    let (before, after) = bytes.split_at_checked(at).unwrap_or_default();
    let mut depth: usize = 1;
    let opens = before.iter().rev().take(FAR).position(|byte| {
        match byte {
            b'}' => depth = depth.saturating_add(1),
            b'{' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    let start = opens.map_or(at.saturating_sub(FAR), |back| at.saturating_sub(back).saturating_sub(1));
    depth = 1;
    let closes = after.iter().take(FAR).position(|byte| {
        match byte {
            b'{' => depth = depth.saturating_add(1),
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    let end = closes.map_or(after.len().min(FAR), |end| end.saturating_add(1)).saturating_add(at);
    let start = (start..=at).find(|start| text.is_char_boundary(*start)).unwrap_or(at);
    let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    start..end
}
