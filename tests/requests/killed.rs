//! A process that answers is killed.
