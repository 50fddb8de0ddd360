//! The commands that run nodes: the key `command` of a node, or of `[bundle]` for all nodes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_spanned::Spanned;

use crate::topology::Topology;
use crate::topology::error::{Problem, TopologyError};

/// The placeholders of a command: words in braces.
const PLACEHOLDERS: [&str; 3] = ["directory", "node", "topology"];

/// The command that runs a node of a topology as a process: see [`Topology::command`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeCommand {
    /// The node.
    pub node: String,
    /// The program: a path, or a name that is searched for in `PATH`.
    pub program: PathBuf,
    /// The arguments of the program.
    pub arguments: Vec<OsString>,
    /// The working directory: the directory of the topology file.
    pub directory: PathBuf,
    /// The place of the command in the topology: file, line and column. `None` if the command comes
    /// from elsewhere.
    pub place: Option<String>,
}

impl NodeCommand {
    /// Returns the process to start. It inherits the environment and the standard streams.
    #[must_use]
    pub fn process(&self) -> Command {
        let mut process = Command::new(&self.program);
        process.args(&self.arguments).current_dir(&self.directory);
        process
    }
}

impl Topology {
    /// Returns the command that runs a node as a process: its key `command`, or else `command` of
    /// `[bundle]`. `{node}` in it is the name of the node, `{topology}` the path of the file,
    /// `{directory}` the [directory of the sockets](Topology::in_directory). A program with a slash
    /// is relative to the directory of the file, which is also the working directory. `None` if the
    /// file has neither key.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// let topology = mycelium::Topology::parse("/srv/app.toml", r#"
    /// [bundle]
    /// command = ["./app", "--node", "{node}"]
    /// [node.feed]
    /// [node.keeper]
    /// command = ["keeper", "--topology={topology}"]
    /// "#)?;
    /// let feed = topology.command("feed").unwrap();
    /// assert_eq!(feed.program.to_str(), Some("/srv/app"));
    /// assert_eq!(feed.arguments, ["--node", "feed"]);
    /// let keeper = topology.command("keeper").unwrap();
    /// assert_eq!(keeper.program.to_str(), Some("keeper"));
    /// assert_eq!(keeper.arguments, ["--topology=/srv/app.toml"]);
    /// # }
    /// # Ok::<(), mycelium::topology::TopologyError>(())
    /// ```
    #[must_use]
    pub fn command(&self, node: &str) -> Option<NodeCommand> {
        let words = self.words_of(node)?;
        let place = words.first().map(|word| self.file.location(word.span()).to_string());
        let words: Vec<&str> = words.iter().map(|word| word.as_ref().as_str()).collect();
        let (program, arguments) = words.split_first()?;
        let arguments = arguments.iter().map(|word| self.filled(node, word)).collect();
        let program = PathBuf::from(self.filled(node, program));
        let directory = self.directory_of_file();
        let program = match is_name(&program) {
            true => program,
            false => directory.join(program.strip_prefix(".").unwrap_or(&program)),
        };
        Some(NodeCommand { node: node.to_owned(), program, arguments, directory, place })
    }

    /// Returns the command of a node from `program` and `arguments` instead of the file, with the
    /// same placeholders. A program with a slash is relative to the current directory.
    ///
    /// # Errors
    /// [`TopologyError`] if one of them has an unknown placeholder.
    pub fn command_from(
        &self,
        node: &str,
        program: &str,
        arguments: &[String],
    ) -> Result<NodeCommand, TopologyError> {
        let words = [program].into_iter().chain(arguments.iter().map(String::as_str));
        if let Some(unknown) = words.into_iter().find_map(unknown_placeholder) {
            return Err(self.file.error_of_file(unknown));
        }
        let filled = PathBuf::from(self.filled(node, program));
        let program = match is_name(&filled) {
            true => filled,
            false => std::path::absolute(&filled).unwrap_or(filled),
        };
        let arguments = arguments.iter().map(|word| self.filled(node, word)).collect();
        let directory = self.directory_of_file();
        Ok(NodeCommand { node: node.to_owned(), program, arguments, directory, place: None })
    }

    /// Checks that the commands have a program, and only known placeholders.
    pub(crate) fn check_commands(&self) -> Result<(), TopologyError> {
        let keys = self.sections.node.values().map(|section| &section.command);
        for command in keys.chain([&self.sections.bundle.command]).flatten() {
            let error = |place, text: &str| Err(self.file.contradiction(place, text));
            match command.as_ref().first() {
                Some(program) if !program.as_ref().is_empty() => {}
                _ => {
                    return error(
                        command.span(),
                        "invalid command: expected a program and its arguments, such as \
                         [\"./app\", \"{node}\"]",
                    );
                }
            }
            for word in command.as_ref() {
                if word.as_ref().contains('\0') {
                    return error(word.span(), "invalid argument: expected a text without NUL");
                }
                if let Some(unknown) = unknown_placeholder(word.as_ref()) {
                    return Err(self.file.error(word.span(), unknown));
                }
            }
        }
        Ok(())
    }

    fn words_of(&self, node: &str) -> Option<&[Spanned<String>]> {
        let own = self.sections.node.get(node)?.command.as_ref();
        Some(own.or(self.sections.bundle.command.as_ref())?.as_ref())
    }

    /// Returns a word with the values of its placeholders.
    fn filled(&self, node: &str, word: &str) -> OsString {
        let (mut filled, mut rest) = (OsString::new(), word);
        while let Some((before, name, after)) = next_placeholder(rest) {
            filled.push(before);
            match name {
                "node" => filled.push(node),
                "topology" => filled.push(self.path_of_file()),
                _ => filled.push(self.runtime_directory()),
            }
            rest = after;
        }
        filled.push(rest);
        filled
    }

    fn path_of_file(&self) -> PathBuf {
        let path = self.file.path();
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
    }

    fn directory_of_file(&self) -> PathBuf {
        let path = self.path_of_file();
        path.parent().map_or(PathBuf::new(), Path::to_owned)
    }
}

/// Returns whether the system searches for this program in `PATH`.
fn is_name(program: &Path) -> bool {
    program.components().count() == 1 && !program.as_os_str().as_encoded_bytes().contains(&b'/')
}

/// Returns the text before the first placeholder of a word, the placeholder, and the text after it.
fn next_placeholder(word: &str) -> Option<(&str, &str, &str)> {
    braces(word).find(|(_, name, _)| PLACEHOLDERS.contains(name))
}

/// Returns the error of the first word in braces that is not a placeholder.
fn unknown_placeholder(word: &str) -> Option<Problem> {
    let is_word = |name: &str| {
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphabetic() || letter == '_')
    };
    let (_, name, _) =
        braces(word).find(|(_, name, _)| is_word(name) && !PLACEHOLDERS.contains(name))?;
    Some(Problem::unknown("placeholder", name, &PLACEHOLDERS, ""))
}

/// Returns each text in braces that has no braces in it, with the text before and after it.
fn braces(word: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    word.match_indices('{').filter_map(move |(start, _)| {
        let inner = &word[start + 1..];
        let end = inner.find(['{', '}'])?;
        let is_closed = inner[end..].starts_with('}');
        is_closed.then(|| (&word[..start], &inner[..end], &inner[end + 1..]))
    })
}
