//! From signals to a file of them.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use mycelium::{Context, Error, Result, service};

use super::Board;
use crate::{
    durable::Durable,
    faults::Faults,
    messages::Signal,
    signals::{Committed, SignalFile},
};

/// Writes each signal to a file, if there is to be one.
pub struct SignalWriter {
    path: Option<PathBuf>,
    /// How much of the file stands; `None` before there is one.
    committed: Durable<Option<Committed>>,
    board: Board,
    faults: Faults,
}

impl SignalWriter {
    /// A writer that goes on where `committed` says.
    #[must_use]
    pub fn new(
        path: Option<PathBuf>,
        committed: Durable<Option<Committed>>,
        board: Board,
        faults: Faults,
    ) -> Self {
        Self { path, committed, board, faults }
    }
}

#[service(reads(Signal))]
impl SignalWriter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut signals = ctx.subscribe::<Signal>()?;
        let committed = self.committed.read(|committed| *committed);
        let file = match self.path.clone() {
            None => None,
            Some(path) => {
                let open = move || match committed {
                    Some(committed) => SignalFile::resume(&path, committed),
                    None => SignalFile::create(&path),
                };
                let file =
                    ctx.blocking(open).await?.map_err(|error| Error::from(error).permanent())?;
                self.committed.keep(|committed| *committed = Some(file.committed()));
                self.committed.save(ctx).await?;
                Some(Arc::new(Mutex::new(file)))
            }
        };
        while let Some(delivery) = signals.recv().await {
            let Some(signal) = self.board.message(delivery) else { continue };
            let again = signal.redelivered();
            self.faults.point("before the writer writes", again);
            if let Some(file) = file.clone() {
                let signal = signal.into_inner().into();
                let append =
                    move || file.lock().unwrap_or_else(PoisonError::into_inner).append(&signal);
                // A disk that is full, or gone, does not get better by trying: say so, and lose nothing.
                let stands =
                    ctx.blocking(append).await?.map_err(|error| Error::from(error).permanent())?;
                self.faults.point("after the writer has written", again);
                self.committed.keep(|committed| *committed = Some(stands));
                self.committed.save(ctx).await?;
            }
        }
        if let Some(file) = file.and_then(Arc::into_inner) {
            let file = file.into_inner().unwrap_or_else(PoisonError::into_inner);
            ctx.blocking(move || file.finish()).await??;
        }
        Ok(())
    }
}
