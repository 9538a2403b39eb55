//! Peers that are silent, slow or lying, and settings at their ends: what they cost others.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use remote::{
    ConnectError, Daemon, DaemonConfig, Error, Peer, Serializer, ServerType, Value, Welcome,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::common::{Echo, Serving, hello, within};

#[tokio::test]
async fn bad_peers_harm_only_themselves() {
    let after = |handshake_timeout| {
        Serving::echo(DaemonConfig { handshake_timeout, ..DaemonConfig::default() })
    };
    // Those that end their handshakes with nonsense are judged by it, those that stop by the time.
    let (patient, hasty) =
        (after(Duration::from_secs(3600)).await, after(Duration::from_secs(1)).await);
    let mut honest = patient.proxy("echo");
    honest.connect().await.unwrap();
    let beginnings: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0\0\0\0",
        b"PYRO\xff\xff garbage garbage garbage garbage",
        b"PYRO",
        b"",
    ];
    for beginning in beginnings {
        let is_text = beginning.len() > 4 || beginning.first() == Some(&0);
        let serving = if is_text { &patient } else { &hasty };
        let answer = serving.answer_to(beginning.to_vec()).await;
        assert_eq!(answer.starts_with(b"PYRO"), is_text, "{beginning:?} got {answer:?}");
        honest.ping().await.unwrap();
    }
}

/// Where unread bytes are left behind, a system resets the connection and the reason is lost.
#[tokio::test]
async fn a_client_that_says_too_much_at_first_hears_why_it_is_refused() {
    let serving = Serving::echo(DaemonConfig::default()).await;
    let long = Value::from("x".repeat(20_000_000));
    let refused = serving.proxy("echo").with_handshake(long).connect().await;
    let Err(Error::Connect { source: ConnectError::Refused(reason), .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.contains("too large") && reason.contains("max=65536"), "{reason}");
}

#[tokio::test]
async fn too_many_unfinished_handshakes_of_an_address_show_the_oldest_out() {
    let config = DaemonConfig {
        handshakes_per_address: 2,
        handshake_timeout: Duration::from_secs(3600),
        ..DaemonConfig::default()
    };
    let serving = Serving::echo(config).await;
    let mut silent: Vec<_> = (0..3).map(|_| serving.socket()).collect();
    let mut oldest = silent.remove(0);
    let ended = tokio::task::spawn_blocking(move || oldest.read(&mut [0]).unwrap_or(0));
    assert_eq!(within(ended).await.unwrap(), 0);
    // Nobody is kept out by those that stay.
    serving.proxy("echo").connect().await.unwrap();
}

#[tokio::test]
async fn nobody_waits_in_a_place_for_the_validator() {
    let go_on = Arc::new(Semaphore::new(0));
    let asked = Arc::new(Semaphore::new(0));
    let (gate, told) = (Arc::clone(&go_on), Arc::clone(&asked));
    let config = DaemonConfig { threadpool_size: 1, ..DaemonConfig::default() };
    let daemon = Daemon::new(config).with_validator(move |handshake| {
        let (gate, told) = (Arc::clone(&gate), Arc::clone(&told));
        Box::pin(async move {
            if handshake.data == Value::from("slow") {
                told.add_permits(1);
                gate.acquire().await.unwrap().forget();
            }
            Ok(Welcome::default())
        })
    });
    daemon.register("echo", Arc::new(Echo)).unwrap();
    let serving = Serving::of(daemon).await;
    let mut slow = serving.proxy("echo").with_handshake("slow".into());
    let waiting = tokio::spawn(async move { slow.connect().await });
    within(asked.acquire()).await.unwrap().forget();
    let mut quick = serving.proxy("echo");
    quick.connect().await.unwrap();
    // By now there is no place for the other.
    go_on.add_permits(1);
    let refused = within(waiting).await.unwrap();
    let Err(Error::Connect { source: ConnectError::Refused(reason), .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reason, "no free workers, increase server threadpool size");
}

/// To the millisecond, although a connection that waits for a while frees its buffers meanwhile.
#[tokio::test(start_paused = true)]
async fn a_silent_client_has_the_time_that_the_daemon_gives_it() {
    let all = hello(Serializer::Serpent);
    // After its handshake, and in the middle of a message that began when it had been silent.
    for (server_type, pauses) in [
        (ServerType::Thread, &[][..]),
        (ServerType::Thread, &[800, 400]),
        (ServerType::Multiplex, &[800, 400]),
    ] {
        let comm_timeout = Some(Duration::from_millis(1500));
        let config = DaemonConfig { server_type, comm_timeout, ..DaemonConfig::default() };
        let daemon = Daemon::new(config);
        daemon.register("echo", Arc::new(Echo)).unwrap();
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let peer = Peer::Tcp(([127, 0, 0, 1], 1).into());
        let serving =
            tokio::spawn(
                async move { daemon.serve_in_memory(server, peer, Default::default()).await },
            );
        client.write_all(&all).await.unwrap();
        assert!(client.read(&mut vec![0; 4096]).await.unwrap() > 40);
        for (pause, byte) in pauses.iter().zip(b"PY") {
            tokio::time::advance(Duration::from_millis(*pause)).await;
            client.write_all(&[*byte]).await.unwrap();
        }
        let begin = tokio::time::Instant::now();
        serving.await.unwrap();
        let took = begin.elapsed().as_millis();
        assert!((1500..1510).contains(&took), "{server_type:?} {pauses:?}: {took} ms");
    }
}

#[tokio::test]
async fn a_setting_may_be_as_good_as_no_limit() {
    for server_type in [ServerType::Thread, ServerType::Multiplex] {
        let config = DaemonConfig {
            server_type,
            threadpool_size: usize::MAX,
            oneways: usize::MAX,
            handshake_timeout: Duration::MAX,
            comm_timeout: Some(Duration::MAX),
            shutdown_grace: Duration::MAX,
            ..DaemonConfig::default()
        };
        let serving = Serving::echo(config).await;
        let mut proxy = serving.proxy("echo");
        proxy.call("echo", Vec::new(), Vec::new()).await.unwrap();
        serving.end().await;
    }
}

/// Its answer would be taken for that of the next call.
#[tokio::test]
async fn a_ping_that_is_given_up_takes_its_connection_with_it() {
    let serving = Serving::echo(DaemonConfig::default()).await;
    let mut proxy = serving.proxy("echo");
    proxy.connect().await.unwrap();
    {
        let mut ping = Box::pin(proxy.ping());
        let begun = std::future::poll_fn(|context| {
            std::task::Poll::Ready(ping.as_mut().poll(context).is_pending())
        });
        assert!(begun.await, "it was answered at once");
    }
    let echoed = proxy.call("echo", vec![5.into()], Vec::new()).await.unwrap();
    assert_eq!(echoed, Value::List(vec![5.into()]));
}
