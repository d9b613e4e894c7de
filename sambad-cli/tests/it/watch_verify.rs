//! `watch --verify` against servers that break the promise.

use crate::faulty::Faulty;
use crate::harness::run;

const RESYNC: &str = r#"{"type":"resync","data":{"reason":"cursor_expired","cursor":"0000000a-9"}}"#;

/// Goal: each broken promise is named, with exit code 3, and nothing is shown twice or beyond a hole. Method: sequences after
/// seq 5.
#[tokio::test]
async fn broken_promises_are_3() {
    for (args, seqs, shown, told) in [
        (&[][..], &[6, 8][..], "6\n", "verification failed: gap: 1 missing between seq 6 and seq 8"),
        (&[], &[7], "", "gap: 1 missing between seq 5 and seq 7"),
        (&[], &[6, 6], "6\n", "repeat: seq 6 arrived again, after seq 6"),
        (&[], &[6, 7, 6], "6\n7\n", "repeat: seq 6 arrived again, after seq 7"),
        (&["--type", "user_created"], &[8, 20, 9], "8\n20\n", "reorder: seq 9 arrived after seq 20"),
    ] {
        let server = Faulty::start().await;
        let script = async {
            let mut peer = server.accept("0000000a-5").await;
            for seq in seqs {
                peer.event(*seq).await;
            }
            peer
        };
        let watch = [&["watch", "--verify", "--format", "{seq}", "--for", "10s"], args].concat();
        let (_peer, ran) = tokio::join!(script, run(&server.url, &watch));
        assert_eq!((ran.code, ran.stdout.as_str()), (3, shown), "{ran:?}");
        assert!(ran.stderr.contains(told), "{ran:?}");
    }
}

/// Goal: a loss across a reconnect is found. Method: the second connection begins one too late.
#[tokio::test]
async fn a_loss_between_connections_is_3() {
    let server = Faulty::start().await;
    let script = async {
        let mut peer = server.accept("0000000a-5").await;
        peer.event(6).await;
        drop(peer);
        let mut peer = server.accept("0000000a-7").await;
        peer.event(8).await;
        peer
    };
    let (_peer, ran) = tokio::join!(script, run(&server.url, &["watch", "--verify"]));
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("gap: 1 missing between seq 6 and seq 8"), "{ran:?}");
}

/// Goal: a resync is a loss where every event was asked for. Method: with and without the check.
#[tokio::test]
async fn a_resync_fails_the_check_alone() {
    for (args, code) in [(&["--verify"][..], 3), (&["-n", "1"], 0)] {
        let watch = [&["watch", "--after", "0000000a-5"], args].concat();
        let server = Faulty::start().await;
        let script = async {
            let mut peer = server.accept("0000000a-9").await;
            peer.send(RESYNC).await;
            peer.event(10).await;
            peer
        };
        let (_peer, ran) = tokio::join!(script, run(&server.url, &watch));
        assert!(ran.code == code && ran.stderr.contains("resync: cursor_expired"), "{ran:?}");
    }
}

/// Goal: a good stream passes. Method: with and without a filter, over holes that the filter explains.
#[tokio::test]
async fn a_good_stream_is_0() {
    for (args, seqs) in [(&[][..], [6, 7, 8]), (&["--type", "user_created"], [6, 9, 30])] {
        let watch = [&["watch", "--verify"], args].concat();
        let server = Faulty::start().await;
        let script = async {
            let mut peer = server.accept("0000000a-5").await;
            for seq in seqs {
                peer.event(seq).await;
            }
            peer.close(1000, "done").await;
        };
        let ((), ran) = tokio::join!(script, run(&server.url, &watch));
        assert_eq!(ran.ok().lines().count(), 3);
    }
}
