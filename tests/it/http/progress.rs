//! Answers that take their time: progress on the way, and a client that does not wait for the end.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::ask;
use crate::limits::recorded;
use crate::world::ask::{Ask, ERAS, Era};
use crate::world::{World, h2, wire};

/// The messages of a stream of events.
fn events(body: &str) -> Vec<Value> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    data.filter(|data| !data.is_empty()).map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_comes_before_the_result() {
    let world = World::open().await;
    let connection = h2::open(&world.path(""), world.port, |_| {}).await;
    for era in ERAS {
        let plain = ask(&world, &Ask::sampling(era, 300).good(&world)).await;
        let request = Ask::sampling(era, 300).good(&world).request(world.port);
        let multiplexed = h2::ask(&connection.send, request).await.unwrap();
        for answer in [plain, multiplexed] {
            assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")), "{era:?}");
            let events = events(&answer.body);
            let (last, steps) = events.split_last().unwrap();
            assert!(last["id"] == 7 && last.pointer("/result/structuredContent/sampled").is_some(), "{last}");
            assert!(!steps.is_empty(), "no progress: {events:?}");
            let mut done = -1.0;
            for step in steps {
                assert_eq!(
                    (&step["method"], &step["params"]["progressToken"]),
                    (&"notifications/progress".into(), &"p".into())
                );
                let now = step["params"]["progress"].as_f64().unwrap();
                assert!(now > done, "progress goes back: {events:?}");
                done = now;
            }
        }
    }
}

/// The last step is reported at nearly the same time as the result; many short calls tell whether one can overtake the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_comes_and_none_after_the_result() {
    let world = World::open().await;
    let connection = h2::open(&world.path(""), world.port, |_| {}).await;
    for _ in 0..75 {
        for era in ERAS {
            let request = Ask::sampling(era, 1).good(&world).request(world.port);
            let answer = h2::ask(&connection.send, request).await.unwrap();
            let order: Vec<_> = events(&answer.body).iter().map(|event| event["params"]["progress"].as_f64()).collect();
            assert_eq!(order, [Some(0.0), Some(1.0), None], "{}", answer.body);
        }
    }
}

fn abandoned(record: &Value) -> bool {
    record["result"] == "abandoned"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_cancels_its_call_and_that_is_recorded() {
    let world = World::open().await;
    let mut left = 0;
    for era in ERAS {
        // Once with an answer in events that has begun, once with one that has not.
        for streamed in [true, false] {
            let mut request = Ask::sampling(era, 500).good(&world);
            if !streamed {
                request.body = request.body.replace("\"progressToken\":\"p\"", "\"other/token\":\"p\"");
            }
            let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
            stream.write_all(&request.bytes(world.port)).await.unwrap();
            stream.flush().await.unwrap();
            let permitted = |record: &Value| record["result"] == "permitted";
            recorded(&world, left + 1, permitted).await;
            if streamed {
                let mut start = [0; 12];
                stream.read_exact(&mut start).await.unwrap();
                assert_eq!(&start, b"HTTP/1.1 200");
            }
            drop(stream);
            left += 1;
            recorded(&world, left, abandoned).await;
        }
    }
    let connection = h2::open(&world.path(""), world.port, |_| {}).await;
    for streamed in [true, false] {
        let mut request = Ask::sampling(Era::Modern, 500).good(&world);
        if !streamed {
            request.body = request.body.replace("\"progressToken\":\"p\"", "\"other/token\":\"p\"");
        }
        let mut send = connection.send.clone();
        let answer = tokio::spawn(send.send_request(request.request(world.port)));
        recorded(&world, left + 1, |record| record["result"] == "permitted").await;
        // The stream is reset, the connection stays.
        if streamed {
            drop(answer.await.unwrap().unwrap())
        } else {
            answer.abort()
        }
        left += 1;
        recorded(&world, left, abandoned).await;
    }
    let next = h2::ask(&connection.send, Ask::sampling(Era::Modern, 0).good(&world).request(world.port)).await.unwrap();
    assert_eq!(next.status, 200);
    let records = world.audit();
    let finished = records.iter().filter(|record| record["event"] == "query" && record["stage"] == "outcome");
    let results: Vec<_> =
        finished.map(|record| (record["result"].as_str().unwrap(), record["reason"].as_str())).collect();
    let mut expected = vec![("abandoned", Some("cancelled")); left];
    expected.push(("success", None));
    assert_eq!(results, expected);
}
