//! Secrets in XML and its relatives: in an element or beside an attribute that a name names.

use super::assignments::FIELD;
use super::builtin::{Shape, around};
use super::innocent;
use super::names::{NAME, SHORT_NAME, all_words};

/// What stands in an element, on one line; [`super::blocks`] has those of several.
pub(super) fn markup() -> Vec<Shape> {
    let any = format!("(?:{NAME}|{SHORT_NAME})");
    let of = |pattern: String, after| Shape { also: &["<"], ..around(FIELD, &all_words(), &pattern, "$1", after) };
    // `key="DbPassword"`, in quotes that may be escaped.
    let named = format!(r#"(?:key|name|property|id)[ \t]*=[ \t]*\\*["'][^"'<>\n]{{0,64}}?{any}\\*["']"#);
    vec![
        // Of a property list or of Hadoop's settings.
        of(
            format!(
                r"(?i)(<(?:name|key)>[^<\n]{{0,64}}?(?:{any}|(?:secret|access)\.key)</(?:name|key)>[ \t]*<(?:value|string)>[ \t]*)[^<\s][^<\n]*?([ \t]*</)"
            ),
            "$2",
        ),
        of(
            format!(
                r"(?i)(<[a-z0-9:_.-]{{0,64}}?{any}(?:[ \t][^<>\n]*[^<>\n/])?>[ \t]*(?:<!\[CDATA\[)?)[^<\s][^<\n]*?((?:\]\]>)?[ \t]*<)"
            ),
            "$2",
        ),
        Shape {
            innocent: Some(innocent::quoted),
            ..of(format!(r#"(?i)({named}[^<>\n]{{0,80}}?[ \t]value[ \t]*=[ \t]*\\*["'])([^"'<>\n\\]+)(\\*["'])"#), "$3")
        },
        Shape {
            innocent: Some(innocent::quoted),
            ..of(format!(r"(?i)({named}(?:[ \t][^<>\n]*[^<>\n/])?>[ \t]*)([^<\s][^<\n]*?)([ \t]*</)"), "$3")
        },
    ]
}
