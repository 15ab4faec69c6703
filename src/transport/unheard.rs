//! Requests that the HTTP library turns away by itself, because their head cannot be read: nobody behind it ever hears of
//! them, so they are noticed by the answer, for the audit log.

use std::io::IoSlice;

use crate::error::{Code, Failure};

/// Told once per connection, which ends with such an answer.
pub(super) type Report = Box<dyn FnOnce(Failure) + Send>;

/// Watches what is written to one connection.
pub(super) struct Unheard(Option<Report>);

impl Unheard {
    pub(super) fn new(report: Report) -> Self {
        Self(Some(report))
    }

    pub(super) fn watch(&mut self, bytes: &[u8]) {
        if let Some(failure) = refusal(bytes)
            && let Some(report) = self.0.take()
        {
            report(failure);
        }
    }

    pub(super) fn watch_all(&mut self, slices: &[IoSlice<'_>]) {
        let mut pieces = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (pieces.next(), pieces.next()) {
            self.watch(only);
        }
    }
}

/// The library's own answers are a head with nothing behind it. Ours of these statuses always have a body.
fn refusal(bytes: &[u8]) -> Option<Failure> {
    let head = bytes.strip_prefix(b"HTTP/1.")?.strip_suffix(b"\r\n\r\n")?;
    let (code, text) = match head.get(1..5)? {
        b" 400" => (Code::HeaderMalformed, "the head of the request cannot be read"),
        b" 414" | b" 431" => (Code::HeaderTooLarge, "the head of the request is too large"),
        _ => return None,
    };
    let head = std::str::from_utf8(head).ok()?;
    let bodiless = head.split("\r\n").any(|line| line.eq_ignore_ascii_case("content-length: 0"));
    bodiless.then(|| Failure::new(code, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_without_a_body_is_the_librarys_own() {
        let code = |text: &str| refusal(text.as_bytes()).map(|failure| failure.code());
        let bare = "Content-Length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(code(&format!("HTTP/1.1 400 Bad Request\r\n{bare}")), Some(Code::HeaderMalformed));
        assert_eq!(code(&format!("HTTP/1.0 431 Too Large\r\n{bare}")), Some(Code::HeaderTooLarge));
        assert_eq!(code(&format!("HTTP/1.1 414 URI Too Long\r\n{bare}")), Some(Code::HeaderTooLarge));
        for other in [
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n".to_owned(),
            format!("HTTP/1.1 400 Bad Request\r\n{bare}{{}}"),
            format!("HTTP/1.1 204 No Content\r\n{bare}"),
            "HTTP/1.1 ".to_owned(),
            String::new(),
        ] {
            assert_eq!(code(&other), None, "{other}");
        }
    }

    #[test]
    fn it_is_told_once() {
        let (tell, told) = std::sync::mpsc::channel();
        let mut unheard = Unheard::new(Box::new(move |failure| tell.send(failure.code()).unwrap()));
        let answer = b"HTTP/1.1 431 x\r\ncontent-length: 0\r\n\r\n";
        unheard.watch_all(&[IoSlice::new(b""), IoSlice::new(answer)]);
        unheard.watch(answer);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Code::HeaderTooLarge]);
    }
}
