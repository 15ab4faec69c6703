//! A body as it comes in: each wait for it has an end, and neither a whole body nor one event of a stream may be longer
//! than is held.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sse_stream::{ByteStreamBody, Error, SseStream};

use super::door::Body;
use crate::error::{Code, Failure};

/// The same body, but silence for longer than `silence` ends it with an error.
pub(super) fn patient(body: Body, silence: Duration) -> Body {
    unfold(body, move |mut body| async move {
        let chunk = match tokio::time::timeout(silence, body.next()).await {
            Ok(chunk) => chunk?,
            Err(_) => Err(upstream("the door fell silent in the middle of its answer")),
        };
        Some((chunk, body))
    })
    .boxed()
}

/// The whole body, at most `cap` bytes.
///
/// # Errors
/// [`Code::Upstream`].
pub(super) async fn collect(mut body: Body, cap: usize) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    while let Some(chunk) = body.try_next().await? {
        if whole.len().saturating_add(chunk.len()) > cap {
            return Err(upstream("the door's answer is too long"));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

/// The data of server-sent events (WHATWG HTML section 9.2), each as one text.
pub(super) struct Events {
    stream: SseStream<ByteStreamBody<Body, Bytes>>,
}

impl Events {
    /// Reads events of at most `cap` bytes each.
    pub(super) fn new(body: Body, cap: usize) -> Self {
        let mut gate = Gate { cap, line: 0, event: 0, after_return: false };
        let gated = body.map(move |chunk| chunk.and_then(|chunk| gate.pass(&chunk).map(|()| chunk)));
        Self { stream: SseStream::from_bytes_stream(gated.boxed()) }
    }

    /// The next event that has data; comments and events without data are passed over.
    ///
    /// # Errors
    /// [`Code::Upstream`]; nothing more is to be expected then.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            match self.stream.next().await {
                None => return Ok(None),
                Some(Ok(event)) => match event.data {
                    Some(data) if !data.trim().is_empty() => return Ok(Some(data)),
                    _ => {}
                },
                Some(Err(Error::Body(error))) => {
                    return Err(match error.downcast::<Failure>() {
                        Ok(failure) => *failure,
                        Err(error) => upstream("the door broke off its answer").because(error),
                    });
                }
                Some(Err(error)) => return Err(upstream("the door sent a malformed event stream").because(error)),
            }
        }
    }
}

/// Counts the bytes of the line and of the event that are being read, before the parser keeps them.
struct Gate {
    cap: usize,
    line: usize,
    event: usize,
    after_return: bool,
}

impl Gate {
    fn pass(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        for byte in chunk {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    if self.line == 0 {
                        self.event = 0;
                    }
                    self.line = 0;
                }
                _ => {
                    self.line = self.line.saturating_add(1);
                    self.event = self.event.saturating_add(1);
                    if self.event > self.cap {
                        return Err(upstream("the door sent an event that is too long"));
                    }
                }
            }
        }
        Ok(())
    }
}

fn upstream(public: &'static str) -> Failure {
    Failure::new(Code::Upstream, public)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::{iter, pending};
    use proptest::prelude::*;

    fn body(chunks: Vec<Vec<u8>>) -> Body {
        iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk)))).boxed()
    }

    async fn read(chunks: Vec<Vec<u8>>, cap: usize) -> Result<Vec<String>, Failure> {
        let mut events = Events::new(body(chunks), cap);
        let mut all = Vec::new();
        while let Some(event) = events.next().await? {
            all.push(event);
        }
        Ok(all)
    }

    const STREAM: &str = "\u{feff}: hello\r\n\r\nid: 1\ndata:\n\nevent: message\ndata: {\"a\":\r\ndata: 1}\r\n\r\n\
                          data: {\"ü\":2}\n\n:\n\ndata: lost";

    #[tokio::test]
    async fn data_of_several_lines_is_one_event_and_the_rest_is_passed_over() {
        let events = read(vec![STREAM.into()], 100).await.unwrap();
        assert_eq!(events, ["{\"a\":\n1}", "{\"ü\":2}"]);
    }

    #[tokio::test]
    async fn an_event_over_the_cap_ends_the_stream_wherever_it_is_cut() {
        let long = || vec![b"data: 12\n\n".to_vec(), b"data: 345".to_vec(), b"6\ndata: 789\n".to_vec()];
        assert_eq!(read(long(), 10).await.unwrap_err().public(), "the door sent an event that is too long");
        assert_eq!(read(vec![b"data: 12\n\n".repeat(99)], 10).await.unwrap().len(), 99);
    }

    #[tokio::test]
    async fn garbage_is_said_to_be_garbage() {
        let failure = read(vec![b"<html>\n\n".to_vec()], 100).await.unwrap_err();
        assert_eq!(failure.public(), "the door sent a malformed event stream");
        assert_eq!(read(vec![b"data: \xff\n\n".to_vec()], 100).await.unwrap_err().code(), Code::Upstream);
    }

    #[tokio::test]
    async fn a_broken_body_keeps_its_own_failure() {
        let broken = iter([Ok(Bytes::from_static(b"data: 1\n\n")), Err(upstream("gone"))]).boxed();
        let mut events = Events::new(broken, 100);
        assert_eq!(events.next().await.unwrap().as_deref(), Some("1"));
        assert_eq!(events.next().await.unwrap_err().public(), "gone");
    }

    #[tokio::test]
    async fn silence_has_an_end() {
        let mut slow = patient(pending().boxed(), Duration::from_millis(30));
        assert!(slow.next().await.unwrap().unwrap_err().public().contains("silent"));
    }

    #[tokio::test]
    async fn a_whole_body_has_a_greatest_length() {
        assert_eq!(collect(body(vec![vec![1], vec![2, 3]]), 3).await.unwrap(), [1, 2, 3]);
        assert!(collect(body(vec![vec![1], vec![2, 3]]), 2).await.is_err());
    }

    proptest! {
        #[test]
        fn where_chunks_are_cut_makes_no_difference(size in 1_usize..20) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let chunks = STREAM.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
            let events = runtime.block_on(read(chunks, 100)).unwrap();
            prop_assert_eq!(events, ["{\"a\":\n1}", "{\"ü\":2}"]);
        }
    }
}
