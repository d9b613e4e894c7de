use super::*;

/// Goal: a scene can be added up by hand. Method: one write every 100 ms to ten dashboards: each part's time and CPU.
#[test]
fn a_lone_write_adds_up() {
    let costs = Costs::as_given();
    let scene = Scene { rate: 10.0, dashboards: 10, duration_s: 2.0, ..Scene::default() };
    let played = play(&scene, &costs);
    let commit = costs.batch(100_000_000) + costs.write_us + costs.fsync_us;
    let response = played.response.value_at_quantile(0.5) as f64;
    assert!((response - (costs.http_us + commit)).abs() < 2.0, "{response}");
    let round = costs.wake_us + 10.0 * (costs.flush(100_000_000) + costs.event_us);
    // The answer is written before the round begins.
    let latest = played.delivery.max() as f64;
    let expected = costs.http_us + commit + round * (1.0 - 1.0 / 32.0);
    assert!((latest - expected).abs() / expected < 0.02, "{latest} {expected}");
    let cpu = 10.0 * (costs.http_us + commit - costs.fsync_us + round) / 1e6;
    assert!((played.server_cores / cpu - 1.0).abs() < 0.1, "{} {cpu}", played.server_cores);
    assert_eq!((played.writes_per_batch, played.deliveries_per_s), (1.0, 100.0));
}

/// Goal: the same seed is the same cluster. Method: a scene with everything in it, twice, and with another seed.
#[test]
fn the_seed_is_the_outcome() {
    let scene = Scene {
        servers: 3,
        cores: 2,
        dashboards: 300,
        app_sessions: 50,
        rate: 400.0,
        poisson: true,
        store: Store::Postgres,
        ..Scene::default()
    };
    let told = |seed| {
        let Played { response, delivery, server_cores, redis_cores, head_share, .. } =
            play(&Scene { seed, ..scene }, &Costs::as_given());
        format!("{} {} {server_cores} {redis_cores} {head_share}", response.mean(), delivery.mean())
    };
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(8));
}

/// Goal: the row with the head is what ends it with PostgreSQL, and batches are what helps. Method: a rate at which every
/// write could not have a commit of its own.
#[test]
fn batches_share_the_head() {
    let scene = Scene { servers: 3, cores: 4, rate: 10_000.0, store: Store::Postgres, ..Scene::default() };
    let played = play(&scene, &Costs::as_given());
    assert!(played.writes_per_s > 9_900.0, "{}", played.writes_per_s);
    assert!(played.head_share > 0.7 && played.writes_per_batch > 3.0, "{} {}", played.head_share, played.writes_per_batch);
}

/// Goal: what is held back goes out together. Method: the same load with and without, CPU and latency.
#[test]
fn holding_back_saves_writes() {
    let scene = Scene { dashboards: 500, rate: 200.0, ..Scene::default() };
    let (at_once, held) = (play(&scene, &Costs::as_given()), play(&Scene { flush_every_ms: 50.0, ..scene }, &Costs::as_given()));
    assert!(held.server_cores < at_once.server_cores * 0.5, "{} {}", held.server_cores, at_once.server_cores);
    assert!(held.delivery.mean() > at_once.delivery.mean() + 15_000.0);
    assert!((held.deliveries_per_s / at_once.deliveries_per_s - 1.0).abs() < 0.03);
}
