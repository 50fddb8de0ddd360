//! `top`: a live table of nodes, their services and topics.
//!
//! Read `state` (the content of the table, and the effects of keys), `view` (draws it), `screen`
//! (the terminal), `plain` (without a terminal), `picture` (a screen as SVG). This module uses
//! `live` and `shared`.

pub mod picture;
pub mod plain;
pub mod screen;
pub mod state;
pub mod view;

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::live::find::{Nodes, Target};
use crate::live::pace::Pace;
use crate::shared::clock::Waits;
use crate::shared::exit::Failure;
use crate::shared::output::{Format, Printer, print};
use crate::shared::terminal;
use state::State;
use view::Colours;

/// The arguments of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    pace: Pace,
    /// How to print it. Without this option, and in a terminal, the table is live.
    #[arg(short, long, value_enum)]
    output: Option<TopFormat>,
    /// The size of the picture, in characters.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "100x30", value_parser = size)]
    size: (u16, u16),
}

/// How `top` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TopFormat {
    /// Aligned columns, for people.
    Table,
    /// An array of objects in one line, for programs.
    Json,
    /// Values with commas between them, and a line with their names.
    Csv,
    /// The live table as a picture, once.
    Svg,
}

/// Shows the table until a key or a signal ends it, or prints it.
///
/// # Errors
/// If there is no such node, or the terminal cannot be used.
pub fn run(args: &TopArgs) -> Result<(), Failure> {
    let mut nodes = Nodes::find(&args.target)?;
    let mut state = State::new(args.pace.interval);
    let is_plain = args.output.is_some() || args.pace.once || args.pace.time.is_some();
    if !is_plain && io::stdout().is_terminal() {
        let colours = if terminal::has_colours() { Colours::On } else { Colours::Off };
        return screen::show(state, colours, |at| {
            nodes.read(at).map_err(|failure| failure.to_string())
        });
    }
    let waits = Waits::new()?;
    state.update(nodes.read_some(waits.clock.now()).map(Ok)?);
    let format = match args.output {
        None | Some(TopFormat::Table) => Format::Table,
        Some(TopFormat::Json) => Format::Json,
        Some(TopFormat::Csv) => Format::Csv,
        Some(TopFormat::Svg) => {
            // Waits for one interval, so that the screen has rates.
            waits.until(waits.clock.now() + args.pace.interval);
            state.update(nodes.read(waits.clock.now()).map(Ok)?);
            let (width, height) = args.size;
            let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
            let Ok(_) = terminal.draw(|frame| view::draw(frame, &state, Colours::On));
            return print(&picture::svg(terminal.backend().buffer()));
        }
    };
    nodes.warn();
    let mut printer = Printer::new(format);
    args.pace.run(&waits, |now| {
        state.update(nodes.read(now).map(Ok)?);
        printer.print(&plain::table(&state))
    })
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let sides = text.split_once('x').and_then(|(width, height)| {
        let side = |text: &str| text.parse().ok().filter(|side| (1..=500).contains(side));
        Some((side(width)?, side(height)?))
    });
    sides.ok_or_else(|| "expected a width and a height from 1 to 500, as in `100x30`".to_owned())
}
