//! `top`: a table of nodes, their services and topics, which follows them.
//!
//! To read: `state` (what is shown, and what keys do), `view` (how it is drawn), `screen` (the
//! terminal).

pub mod picture;
pub mod screen;
pub mod state;
pub mod view;
