//! A write whose fsync never was, found again after a restart: what is served from then on must be on disk.

use std::sync::Arc;

use sambad_client::{Error, NewMessage, NewUser};

use crate::layer::{Action, EIO, FOR_EVER, Rule, file, op, read_log};
use crate::platter::{Platter, Survives};
use crate::readers::PHONE;
use crate::recording::{Recording, recover};
use crate::rows;
use crate::world::{World, kill};

/// Goal: a write that a crash left unsynced, and that a retry with its key finds stored, is on disk when the retry is answered.
/// Method: the server is killed in place of COMMIT's fsync, or after that has failed and the kernel has forgotten what it could
/// not write; after the restart the retry is answered; and the power is cut at that moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_not_answered_from_what_is_not_on_disk() {
    for action in [Action::KillBefore, Action::Fail(EIO)] {
        let world = Arc::new(World::new(true));
        let server = world.start().await;
        let client = world.client();
        let user = client.login(&NewUser::new(PHONE)).await.unwrap().value.user.id;
        let client = client.with_idempotency_key("only-once").unwrap();
        let message = NewMessage::text(user, user, "is it there?");
        world.layer.arm(0, Rule::new(action, op::SYNC, file::WAL).times(FOR_EVER));
        let error = client.send_message(&message).await.unwrap_err();
        assert!(matches!(error, Error::Transport { .. } | Error::Api { status: 503, .. }), "{error:?}");
        kill(server).await;
        world.layer.disarm(0);
        let server = world.start().await;
        let answer = client.send_message(&message).await.unwrap();
        let bytes = world.log_bytes();
        assert!(answer.replayed, "{action:?}: the crash left nothing to find");
        let log = rows::log(&world.database()).await.unwrap();
        kill(server).await;

        let recording = Recording::new(read_log(world.layer.log().unwrap()), &[], log);
        let mut platter = Platter::default();
        (0..recording.ops.len()).take_while(|i| recording.ops[*i].end <= bytes).for_each(|i| platter.apply(&recording.ops, i));
        let state = platter.cut(&recording.ops, Survives::Nothing, &mut fastrand::Rng::with_seed(0));
        recover(state, answer.seq.unwrap().0, recording.log, format!("{action:?}")).await.unwrap();
    }
}
