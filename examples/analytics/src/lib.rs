//! Streaming analytics: a recorded day of real swaps, replayed at a rate, through a pipeline of
//! services to a live page. The modules, in the order in which an event passes them:
//!
//! - [`recording`] reads the day, and [`messages`] are what the stages exchange.
//! - [`stages`] are the services; [`state`] is what each of them counts and keeps in a file.
//! - [`dashboard`] serves the page.
//! - [`app`] puts all of it into one node or several processes, and [`load`] measures it.

pub mod app;
pub mod dashboard;
pub mod load;
pub mod messages;
pub mod recording;
pub mod stages;
pub mod state;
