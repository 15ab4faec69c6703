//! Peers that read, that do not, and that let go early: only one that read everything has taken it.

use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// For peers that do what they are waited for, however busy the machine is.
const LONG: Duration = Duration::from_secs(30);
/// For those that do not.
const SHORT: Duration = Duration::from_millis(300);

fn patience(silent: Duration) -> bool {
    silent < LONG
}

fn impatience(silent: Duration) -> bool {
    silent < SHORT
}

/// A peer that does `work` with the first connection, and the port that it listens on.
fn peer<T: Send + 'static>(work: impl FnOnce(TcpStream) -> T + Send + 'static) -> (u16, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, std::thread::spawn(move || work(listener.accept().unwrap().0)))
}

fn connect(port: u16) -> Stream {
    Stream::connect("127.0.0.1", port, None, LONG).unwrap()
}

#[test]
fn a_peer_that_read_to_the_end_has_taken_everything() {
    let (port, peer) = peer(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        // What it says itself is of no account.
        stream.write_all(b"thanks").unwrap();
        all
    });
    let mut stream = connect(port);
    let sent = vec![7; 1 << 20];
    stream.send(&sent, &patience).unwrap();
    assert_eq!(stream.end(&patience).unwrap(), Ending::Taken);
    assert_eq!(peer.join().unwrap(), sent);
}

#[test]
fn a_peer_that_let_go_with_something_unread_has_not() {
    let (port, peer) = peer(|mut stream| {
        stream.read_exact(&mut [0; 10]).unwrap();
        std::thread::sleep(SHORT / 3);
    });
    let mut stream = connect(port);
    stream.send(&[7; 1000], &patience).unwrap();
    assert!(stream.end(&patience).is_err());
    peer.join().unwrap();
}

#[test]
fn a_peer_that_ended_before_the_last_bytes_came_has_not() {
    // It has read all there was and ended in order; what comes after that is lost, and its end is there to be read.
    let (port, peer) = peer(|mut stream| stream.read_exact(&mut [0; 1000]).unwrap());
    let mut stream = connect(port);
    stream.send(&[7; 1000], &patience).unwrap();
    peer.join().unwrap();
    std::thread::sleep(SHORT / 3);
    let sent = stream.send(&[7; 10], &patience);
    assert!(sent.is_err() || stream.end(&patience).is_err());
}

#[test]
fn a_peer_that_neither_reads_nor_lets_go_is_waited_for_and_no_longer() {
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let (port, peer) = peer(move |stream| {
        let _ = told.recv();
        drop(stream);
    });
    let mut stream = connect(port);
    stream.send(b"few", &patience).unwrap();
    assert_eq!(stream.end(&impatience).unwrap(), Ending::Open);
    let mut stream = connect(port);
    let error = stream.send(&vec![7; 64 << 20], &impatience).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    tell.send(()).unwrap();
    peer.join().unwrap();
}

#[test]
fn a_peer_that_never_stops_talking_is_heard_no_longer_than_a_silent_one() {
    let (port, peer) = peer(|mut stream| {
        let (clock, begin) = (Clock::system(), Clock::system().instant());
        while clock.instant().duration_since(begin) < SHORT * 100 && stream.write_all(&[7; 100]).is_ok() {
            std::thread::sleep(SHORT / 100);
        }
        clock.instant().duration_since(begin)
    });
    let mut stream = connect(port);
    stream.send(b"few", &patience).unwrap();
    assert_eq!(stream.end(&impatience).unwrap(), Ending::Open);
    assert!(peer.join().unwrap() < SHORT * 50);
}

#[test]
fn where_nobody_listens_nothing_is_connected() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(Stream::connect("127.0.0.1", port, None, SHORT).is_err());
    assert!(Stream::connect("no-such-name.invalid", port, None, SHORT).is_err());
}

#[test]
fn a_peer_that_drips_bytes_into_the_handshake_is_waited_for_no_longer_than_a_silent_one() {
    let ca = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .self_signed(&rcgen::KeyPair::generate().unwrap())
        .unwrap();
    let options = Options { ca_pem: Some(ca.pem().into_bytes()), identity: None, connect_timeout: SHORT };
    let secured = Secured::new(&options, "localhost").unwrap();
    let (port, peer) = peer(|mut stream| {
        // A handshake record of 16 KiB, a byte at a time, each well within a step.
        stream.write_all(&[0x16, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc]).unwrap();
        let begin = Clock::system().instant();
        while stream.write_all(&[0]).is_ok() && Clock::system().instant().duration_since(begin) < 100 * SHORT {
            std::thread::sleep(STEP / 5);
        }
    });
    let begin = Clock::system().instant();
    let error = Stream::connect("127.0.0.1", port, Some(&secured), SHORT).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(Clock::system().instant().duration_since(begin) < 50 * SHORT);
    peer.join().unwrap();
}
