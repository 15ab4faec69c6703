//! Lookouts that end, stall, say too much or something else: nobody waits for long, and nobody gets what others asked for.

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter};
use std::sync::Arc;

use super::*;

/// Waits that a test can afford.
const SHORT: Duration = Duration::from_millis(300);

/// A lookout, and the ends that it has of its pipes.
fn made(patience: Duration) -> (Arc<Lookout>, PipeReader, PipeWriter) {
    let (questions, to) = io::pipe().unwrap();
    let (from, answers) = io::pipe().unwrap();
    (Arc::new(Lookout::over(to.into(), from.into(), patience)), questions, answers)
}

fn asked(lookout: &Lookout, question: &str) -> io::Result<String> {
    lookout.ask(question, 1000, |bytes| String::from_utf8(bytes).ok())
}

/// Answers each question with the next of `answers`, and then ends.
fn answering(
    questions: PipeReader,
    mut to: PipeWriter,
    answers: &'static [&'static [u8]],
) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut questions = BufReader::new(questions);
        let mut heard = Vec::new();
        for answer in answers {
            let mut line = String::new();
            if questions.read_line(&mut line).unwrap() == 0 {
                break;
            }
            heard.push(line);
            to.write_all(answer).unwrap();
        }
        heard
    })
}

#[test]
fn questions_are_answered_in_their_order_and_a_refusal_ends_nothing() {
    let (lookout, questions, answers) = made(Duration::from_secs(20));
    let other = answering(questions, answers, &[b"found 3\nabc", b"not 13\n", b"found 0\n", b"found 5\nx\ny\nz"]);
    assert_eq!(asked(&lookout, "one\n").unwrap(), "abc");
    let refused = asked(&lookout, "two\n").unwrap_err();
    assert!(refused.kind() == io::ErrorKind::PermissionDenied && !is_gone(&refused));
    assert_eq!(asked(&lookout, "three\n").unwrap(), "");
    assert_eq!(asked(&lookout, "four\n").unwrap(), "x\ny\nz");
    assert_eq!(other.join().unwrap(), ["one\n", "two\n", "three\n", "four\n"]);
    // It has ended by now.
    assert!(is_gone(&asked(&lookout, "five\n").unwrap_err()));
}

#[test]
fn after_an_answer_that_is_none_nothing_is_asked() {
    let wrong: [&'static [&'static [u8]]; 11] = [
        &[b""],
        &[b"found 3\nab"],
        &[b"found 3\nabcd"],
        &[b"found 3\nabcfound 3\nxyz"],
        &[b"not 13\nfound 3\nxyz"],
        &[b"found 1001\n"],
        &[b"found -1\n"],
        &[b"lost 3\nabc"],
        &[b"\n"],
        &[b"not a number\n"],
        &[&[b'x'; 200]],
    ];
    for answers in wrong {
        let (lookout, questions, to) = made(Duration::from_secs(20));
        let other = answering(questions, to, answers);
        assert!(is_gone(&asked(&lookout, "one\n").unwrap_err()), "{answers:?}");
        assert!(is_gone(&asked(&lookout, "two\n").unwrap_err()), "{answers:?}");
        assert_eq!(other.join().unwrap(), ["one\n"], "{answers:?}");
    }
    let (lookout, questions, to) = made(Duration::from_secs(20));
    let other = answering(questions, to, &[b"found 2\n\xff\xff"]);
    assert!(is_gone(&asked(&lookout, "one\n").unwrap_err()), "what is not understood is no answer either");
    other.join().unwrap();
}

#[test]
fn what_is_said_unasked_is_nobodys_answer() {
    let (lookout, questions, mut to) = made(Duration::from_secs(20));
    to.write_all(b"found 6\nsecret").unwrap();
    assert!(is_gone(&asked(&lookout, "one\n").unwrap_err()));
    drop((questions, to));
}

#[test]
fn a_lookout_that_stalls_costs_its_askers_a_known_time_and_a_late_answer_is_nobodys() {
    let patience = Duration::from_secs(1);
    let (lookout, _questions, mut to) = made(patience);
    let clock = Clock::system();
    let began = clock.instant();
    let askers: Vec<_> = (0..20)
        .map(|_| {
            let lookout = Arc::clone(&lookout);
            std::thread::spawn(move || asked(&lookout, "one\n").unwrap_err())
        })
        .collect();
    for asker in askers {
        let error = asker.join().unwrap();
        assert!(is_gone(&error) || error.kind() == io::ErrorKind::TimedOut, "{error}");
    }
    // One after the other they would wait for twenty seconds.
    assert!(clock.instant().duration_since(began) < patience * 15);
    let _ = to.write_all(b"found 6\nsecret");
    assert!(is_gone(&asked(&lookout, "two\n").unwrap_err()));
}

#[test]
fn an_answer_that_drips_is_as_late_as_one_that_does_not_come() {
    let (lookout, _questions, mut to) = made(SHORT);
    let dripping = std::thread::spawn(move || {
        let mut count = 0;
        let mut text = b"found 900\n".iter().chain(std::iter::repeat(&b'x'));
        while text.next().is_some_and(|byte| to.write_all(&[*byte]).is_ok()) {
            count += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        count
    });
    assert!(is_gone(&asked(&lookout, "one\n").unwrap_err()));
    assert!(dripping.join().unwrap() < 900);
}

#[test]
fn one_that_ends_while_nobody_asks_is_gone_for_the_next() {
    let (lookout, questions, to) = made(Duration::from_secs(20));
    drop((questions, to));
    assert!(is_gone(&asked(&lookout, "one\n").unwrap_err()));
    lookout.lose("it ended");
    let error = asked(&lookout, "two\n").unwrap_err();
    assert!(is_gone(&error) && error.to_string().contains("restart the daemon"));
    assert!(!is_gone(&io::ErrorKind::BrokenPipe.into()));
}
