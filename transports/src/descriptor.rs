//! The types of descriptors of shared memory. A system without descriptors cannot share memory.

#[cfg(unix)]
#[allow(
    unused_imports,
    reason = "only code for systems without shared memory names all of them"
)]
pub(crate) use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[cfg(not(unix))]
pub(crate) use none::{AsFd, BorrowedFd, OwnedFd};

/// Types without values, for systems without descriptors.
#[cfg(not(unix))]
mod none {
    use std::convert::Infallible;
    use std::io;
    use std::marker::PhantomData;

    /// Stands for a descriptor that this process owns.
    #[derive(Debug)]
    pub struct OwnedFd(Infallible);

    /// Stands for a descriptor that another owner keeps open.
    #[derive(Clone, Copy, Debug)]
    pub struct BorrowedFd<'f>(Infallible, PhantomData<&'f OwnedFd>);

    /// Something that has a descriptor.
    pub(crate) trait AsFd {
        /// Returns the descriptor.
        fn as_fd(&self) -> BorrowedFd<'_>;
    }

    impl AsFd for OwnedFd {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match self.0 {}
        }
    }

    impl OwnedFd {
        /// Never called.
        ///
        /// # Errors
        /// None.
        pub fn try_clone(&self) -> io::Result<OwnedFd> {
            match self.0 {}
        }
    }
}
