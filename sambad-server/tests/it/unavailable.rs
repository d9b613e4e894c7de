//! When the server cannot do what it is asked: refused with 503, nothing changed, try again.

use futures_util::future::join_all;
use sambad_core::Limits;
use sambad_server::ServerConfig;
use serde_json::json;

use crate::harness::{World, soon};

/// Goal: more writes than may wait are refused, and nothing of them is stored. Method: a queue of one, and waves of writes until
/// one is refused; the accepted ones are the log.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_writes_are_refused_as_overloaded() {
    let limits = Limits { queue_commands_max: 1, batch_commands_max: 1, ..Limits::default() };
    let world = World::start_with(ServerConfig::default(), limits).await;
    let (mut accepted, mut refused) = (0, 0);
    soon("refusal", async {
        for wave in 0.. {
            let login = |i| world.api.post("/api/users/login", json!({ "phone": format!("+447{wave:04}{i:05}") }));
            for answer in join_all((0..100).map(login)).await {
                if answer.status == 503 {
                    answer.refused(503, "overloaded");
                    refused += 1;
                } else {
                    assert!(answer.seq().is_some());
                    accepted += 1;
                }
            }
            if refused > 0 {
                break;
            }
        }
    })
    .await;
    assert_eq!(world.api.whole_log().await.len(), accepted);
    world.finish().await;
}

/// Goal: a store that does not answer is said so everywhere, in the contract's form. Method: a core shut down under its server.
#[tokio::test]
async fn a_store_that_does_not_answer_is_said_so() {
    let world = World::start().await;
    let asha = world.api.user("+919876543210").await;
    world.server.sambad().shutdown().await;
    let health = world.api.get("/api/health").await;
    let version = env!("CARGO_PKG_VERSION");
    health.is(503, &format!(r#"{{"status":"unhealthy","database":"unavailable","version":"{version}"}}"#));
    assert_eq!(world.api.get("/livez").await.status, 200);
    for path in ["/readyz", "/api/users", "/api/contacts", "/api/messages", "/api/admin/analytics", "/api/admin/activity"] {
        world.api.get(path).await.refused(503, "unavailable");
    }
    world.api.send_message(&asha, &asha, "x").await.refused(503, "unavailable");
    let directory = world.server.stop().await;
    let world = World::restart(directory).await;
    assert_eq!(world.api.whole_log().await.len(), 1);
    world.finish().await;
}
