//! Receives signals and writes them to a file.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use mycelium::{Context, Delivery, Error, Result, service};

use crate::{
    durable::Durable,
    faults::Faults,
    messages::Signal,
    signals::{Committed, SignalFile},
};

/// Writes each signal to a file, if there is one.
#[derive(Clone)]
pub struct SignalWriter {
    /// The file.
    pub path: Option<PathBuf>,
    /// The committed part of the file; `None` before the file exists.
    pub committed: Durable<Option<Committed>>,
    /// When the service panics.
    pub faults: Faults,
}

#[service(reads(Signal))]
impl SignalWriter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut signals = ctx.subscribe::<Signal>()?;
        let committed = self.committed.read(|committed| *committed);
        let file = match self.path.clone() {
            None => None,
            Some(path) => {
                let file = ctx.blocking(move || SignalFile::open(&path, committed)).await?;
                let file = file.map_err(|error| Error::from(error).permanent())?;
                self.committed.keep(|committed| *committed = Some(file.committed()));
                self.committed.save(ctx).await?;
                Some(Arc::new(Mutex::new(file)))
            }
        };
        while let Some(delivery) = signals.recv().await {
            let Delivery::Msg(signal) = delivery else { continue };
            let redelivered = signal.redelivered();
            self.faults.point("before the writer writes", redelivered);
            if let Some(file) = file.clone() {
                let signal = signal.into_inner();
                let append =
                    move || file.lock().unwrap_or_else(PoisonError::into_inner).append(&signal);
                // Retrying does not help on a full disk: end with an error, and lose nothing.
                let committed =
                    ctx.blocking(append).await?.map_err(|error| Error::from(error).permanent())?;
                self.faults.point("after the writer has written", redelivered);
                self.committed.keep(|kept| *kept = Some(committed));
                self.committed.save(ctx).await?;
            }
        }
        Ok(())
    }
}
