//! Reading a journal for a person.

/// The time of a record, as it is written; `None` unless it is written as a time is.
#[must_use]
pub fn stamp(line: &[u8]) -> Option<String> {
    const KEY: &[u8] = b",\"ts\":\"";
    // It follows `seq` and `v`.
    let begin = line.get(..line.len().min(64))?.windows(KEY.len()).position(|window| window == KEY)?;
    let rest = line.get(begin.checked_add(KEY.len())?..)?;
    let text = rest.get(..rest.iter().position(|byte| *byte == b'"')?)?;
    let sound = text.len() <= 40 && text.iter().all(|byte| byte.is_ascii_digit() || b"-:.TZ+".contains(byte));
    sound.then(|| String::from_utf8(text.to_vec()).ok()).flatten()
}
