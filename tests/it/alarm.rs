//! The alarm about refusals of who is there, at an open door.

use serde_json::Value;

use crate::world::{Choice, World, wire};

/// Connects so often without a certificate.
async fn knock(world: &World, times: u32) {
    for _ in 0..times {
        if let Ok(mut stream) = wire::connect(&world.path(""), world.port, None).await {
            let message = wire::call("get_uptime", Value::Null);
            let _ = wire::exchange(&mut stream, &wire::post(world.port, "no token", &message)).await;
        }
    }
}

async fn failures(world: &World, count: usize) {
    for _ in 0..5000 {
        if events(world, "auth_failure").len() >= count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{:?}", world.audit());
}

fn events(world: &World, event: &str) -> Vec<Value> {
    world.audit().into_iter().filter(|record| record["event"] == event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_eleventh_refusal_is_a_warning_about_its_source_and_one_about_all_and_a_reload_forgets_nothing() {
    let world = World::with(Choice::default()).await;
    knock(&world, 5).await;
    failures(&world, 5).await;
    world.edit("log/audit.jsonl\n", "log/audit.jsonl\n  alerts: {auth_failures: 11}\n");
    world.reload().await;
    knock(&world, 6).await;
    failures(&world, 11).await;
    assert_eq!(events(&world, "warning"), [Value::Null; 0]);
    world.edit("auth_failures: 11", "auth_failures: 10");
    world.reload().await;
    knock(&world, 5).await;
    failures(&world, 16).await;
    let warning = world.recorded(0, "warning", "auth_failures").await;
    assert_eq!((&warning["client"]["ip"], &warning["count"]), (&"127.0.0.1".into(), &12.into()), "{warning}");
    let detail = "12 refusals from 127.0.0.1 within 300 s; more than 10 are a warning";
    assert_eq!(warning["detail"], detail);
    let warnings = events(&world, "warning");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(warnings[1]["detail"], detail.replace("127.0.0.1", "all sources together"));
    let metrics = doorward::telemetry::metrics_text();
    for scope in ["source", "all"] {
        // Other tests of this process may have raised some too.
        let line = format!("doorward_alarms_total{{alarm=\"auth_failures\",scope=\"{scope}\"}} ");
        let count: u64 = metrics.lines().find_map(|have| have.strip_prefix(&line)).unwrap().parse().unwrap();
        assert!(count >= 1, "{scope}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_addresses_are_not_recorded_the_warning_is_about_all_together_only() {
    let more = vec![("DOORWARD__AUDIT__LOG_CLIENT_IP".to_owned(), "false".to_owned())];
    let world = World::with(Choice { environment: more, ..Choice::default() }).await;
    knock(&world, 12).await;
    failures(&world, 12).await;
    let warning = world.recorded(0, "warning", "auth_failures").await;
    assert!(warning["client"].get("ip").is_none() && !warning.to_string().contains("127.0.0.1"), "{warning}");
    assert_eq!(events(&world, "warning").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_place_of_a_tools_name_is_not_recorded() {
    let world = World::with(Choice::default()).await;
    let secret = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let message = wire::call(&secret, serde_json::json!({}));
    let answer = wire::exchange(&mut stream, &wire::post(world.port, &world.token(&["core"]), &message)).await.unwrap();
    assert_eq!(answer.reason().as_deref(), Some("unknown_tool"), "{answer:?}");
    let record = world.recorded(0, "query_denied", "unknown_tool").await;
    assert!(!world.audit().iter().any(|record| record.to_string().contains(&secret)), "{record}");
    assert!(record["query"].as_str().unwrap().contains("REDACTED"), "{record}");
}
