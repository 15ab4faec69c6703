//! What is agreed on before the first request: versions, protocols, keys, and nothing that is remembered.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, RootCertStore, SupportedProtocolVersion, version};
use serde_json::json;

use crate::world::ask::{Ask, Era};
use crate::world::{Choice, World, wire};
use doorward::pki::store;

/// The certificate `good`, with these groups for the key exchange and these versions.
fn client(
    world: &World,
    groups: &[&'static dyn rustls::crypto::SupportedKxGroup],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let provider = CryptoProvider { kx_groups: groups.to_vec(), ..aws_lc_rs::default_provider() };
    let mut roots = RootCertStore::empty();
    for authority in store::certificates(&world.path("ca/ca.crt")).unwrap() {
        roots.add(authority).unwrap();
    }
    let chain = store::certificates(&world.path("good.crt")).unwrap();
    let key = store::private_key(&world.path("good.key")).unwrap();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocol_above_is_agreed_on() {
    let world = World::open().await;
    let cases: [(&[&str], Option<&str>); 4] = [
        (&["h2", "http/1.1"], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ];
    for (offered, agreed) in cases {
        let mut config = wire::tls(&world.path(""), Some("good"));
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut stream = wire::connect_as(config, world.port).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
        if agreed != Some("h2") {
            let answer = wire::exchange(&mut stream, &Ask::get("/health").bytes(world.port)).await.unwrap();
            assert_eq!(answer.status, 200);
        }
    }
    let mut config = wire::tls(&world.path(""), Some("good"));
    config.alpn_protocols = vec![b"spdy/3".to_vec()];
    assert!(wire::connect_as(config, world.port).await.is_err(), "a protocol nobody speaks is agreed on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_2_is_spoken_only_where_it_is_configured() {
    let all = aws_lc_rs::default_provider().kx_groups;
    for (min_version, served) in [("1.3", false), ("1.2", true)] {
        let tls = format!("  min_version: \"{min_version}\"");
        let world = World::with(Choice { tls, ..Choice::default() }).await;
        let old = wire::connect_as(client(&world, &all, &[&version::TLS12]), world.port).await;
        assert_eq!(old.is_ok(), served, "TLS 1.2 where the least is {min_version}: {old:?}");
        if let Ok(mut stream) = old {
            let ask = Ask::call(Era::Modern, "get_uptime", json!({})).good(&world);
            let answer = wire::exchange(&mut stream, &ask.bytes(world.port)).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
        } else {
            let recorded = crate::limits::recorded(&world, 1, |record| record["reason"] == "handshake_failed").await;
            assert!(recorded[0]["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{recorded:?}");
        }
        let new = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        assert_eq!(new.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_exchange_that_withstands_quantum_computers_comes_first() {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    let world = World::open().await;
    let served = doorward::transport::tls::provider().kx_groups.clone();
    assert_eq!(served[0].name(), NamedGroup::X25519MLKEM768, "it is the first that this side names");
    let cases: [(&[&'static dyn rustls::crypto::SupportedKxGroup], NamedGroup); 3] = [
        (&[X25519MLKEM768, X25519], NamedGroup::X25519MLKEM768),
        (&[X25519MLKEM768, SECP384R1, SECP256R1, X25519], NamedGroup::X25519MLKEM768),
        // The order is the client's; one that knows no better is served all the same.
        (&[X25519, SECP256R1], NamedGroup::X25519),
    ];
    for (groups, agreed) in cases {
        let stream = wire::connect_as(client(&world, groups, &[&version::TLS13]), world.port).await.unwrap();
        assert_eq!(stream.get_ref().1.negotiated_key_exchange_group().unwrap().name(), agreed);
    }
    let default = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let group = default.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_handshake_is_resumed() {
    let world = World::with(Choice { tls: "  min_version: \"1.2\"".to_owned(), ..Choice::default() }).await;
    let all = aws_lc_rs::default_provider().kx_groups;
    for version in [&version::TLS13, &version::TLS12] {
        // A client that would: it keeps tickets and session identifiers, and shares them between its connections.
        let mut config = client(&world, &all, &[version]);
        config.resumption = rustls::client::Resumption::in_memory_sessions(16);
        config.enable_early_data = true;
        let config = Arc::new(config);
        for round in 0..3 {
            let mut stream = wire::connect_as(Arc::clone(&config), world.port).await.unwrap();
            let answer = wire::exchange(&mut stream, &Ask::get("/health").bytes(world.port)).await.unwrap();
            assert_eq!(answer.status, 200);
            let tls = stream.get_ref().1;
            assert_ne!(tls.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}, round {round}");
            assert_eq!(tls.tls13_tickets_received(), 0);
            assert!(!tls.is_early_data_accepted());
        }
    }
}
