//! A network between the program and its store that behaves badly.

use std::time::Duration;

use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    select,
    sync::watch,
    time::sleep,
};

/// What the proxy does with connections, also with those that there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Manner {
    Forwards,
    /// The same, after a delay.
    IsSlow,
    /// Keeps them, and forwards nothing.
    IsSilent,
    /// Answers what no store does.
    TalksNonsense,
    Cuts,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    pub(crate) manner: watch::Sender<Manner>,
}

impl Proxy {
    /// A proxy to a port of this machine.
    pub(crate) async fn start(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (manner, changes) = watch::channel(Manner::IsSlow);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, target, changes.clone()));
            }
        });
        Proxy { port, manner }
    }
}

/// Returns an error when the test has ended.
async fn serve(
    mut client: TcpStream,
    target: u16,
    mut changes: watch::Receiver<Manner>,
) -> Result<(), watch::error::RecvError> {
    loop {
        let manner = *changes.borrow_and_update();
        match manner {
            Manner::Forwards | Manner::IsSlow => {
                if manner == Manner::IsSlow {
                    sleep(Duration::from_millis(300)).await;
                }
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else {
                    return Ok(());
                };
                select! {
                    _ = copy_bidirectional(&mut client, &mut server) => return Ok(()),
                    changed = changes.changed() => changed?,
                }
                if *changes.borrow() == Manner::Forwards {
                    return Ok(());
                }
            }
            Manner::IsSilent => {
                changes.changed().await?;
                return Ok(());
            }
            Manner::TalksNonsense => {
                // To Postgres it claims a message of 2 GiB.
                let _ = client.write_all(b"R\x7f\xff\xff\xff+nonsense\r\n$-7\r\n").await;
                changes.changed().await?;
                return Ok(());
            }
            Manner::Cuts => return Ok(()),
        }
    }
}
