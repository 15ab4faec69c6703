//! A command in one text, split into its arguments without a shell: blanks separate, quotes and backslashes keep together,
//! and nothing else means anything.

use std::path::Path;

/// Splits `text`. Within `'…'` everything stands for itself; within `"…"` a backslash keeps the next `"` or `\`; outside
/// of quotes it keeps any next character. The first argument must be an absolute path.
///
/// # Errors
/// What is wrong, for the person who typed it.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\0' => return Err("a command has no NUL".to_owned()),
            blank if blank.is_ascii_whitespace() => arguments.extend(current.take()),
            '\'' => {
                let argument = current.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(kept) => argument.push(kept),
                        None => return Err("a ' is never closed".to_owned()),
                    }
                }
            }
            '"' => {
                let argument = current.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => {
                            argument.push(chars.next_if(|next| matches!(next, '"' | '\\')).unwrap_or('\\'));
                        }
                        Some(kept) => argument.push(kept),
                        None => return Err("a \" is never closed".to_owned()),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(kept) => current.get_or_insert_default().push(kept),
                None => return Err("a \\ stands at the end".to_owned()),
            },
            plain => current.get_or_insert_default().push(plain),
        }
    }
    arguments.extend(current);
    match arguments.first() {
        None => Err("there is no command".to_owned()),
        Some(program) if !Path::new(program).is_absolute() => {
            Err("the command must be an absolute path: it is not looked up and there is no shell".to_owned())
        }
        Some(_) => Ok(arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_and_backslashes_keep_together() {
        assert_eq!(split(r"/bin/a  b	c").unwrap(), ["/bin/a", "b", "c"]);
        assert_eq!(split(r#"/bin/a 'b  "c' "d 'e\" \\ \n""#).unwrap(), ["/bin/a", "b  \"c", "d 'e\" \\ \\n"]);
        assert_eq!(split(r"'/opt/my tools/a' b\ c x'y'z ''").unwrap(), ["/opt/my tools/a", "b c", "xyz", ""]);
    }

    #[test]
    fn nothing_is_expanded() {
        let text = "/bin/echo $HOME `id` $(id) *.pem ~ ; | > && #";
        assert_eq!(split(text).unwrap().len(), 11);
        assert!(split(text).unwrap().contains(&"$(id)".to_owned()));
    }

    #[test]
    fn an_unfinished_or_relative_command_is_refused() {
        for text in ["", "  ", "echo hi", "./x", "'' /bin/a", "/bin/a 'b", "/bin/a \"b", "/bin/a \\", "/bin/a\0"] {
            assert!(split(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_out_as_it_was(arguments in proptest::collection::vec("[^'\0]{0,12}", 0..5)) {
            let quoted = arguments.iter().fold("/bin/x".to_owned(), |text, argument| format!("{text} '{argument}'"));
            let split = split(&quoted).unwrap();
            prop_assert_eq!(split.get(1..).unwrap(), arguments.as_slice());
        }
    }
}
