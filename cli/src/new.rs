//! `new`: makes a project that builds, runs, and has a test and a topology. The files are those of
//! `templates`; `__PROGRAM__` and similar words in them are replaced.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf, absolute};
use std::process::{self, Command};

use clap::{Args, ValueEnum};

use crate::shared::exit::Failure;
use crate::shared::output::print;

/// The most characters of a name.
const LONGEST: usize = 64;
/// Names that cargo and the project use, and the keywords of Rust.
const TAKEN: &str = "\
    alloc build core deps env examples glommio incremental proc_macro smol std test abstract as \
    async await become box break const continue crate do dyn else enum extern false final fn for \
    gen if impl in let loop macro match mod move mut override priv pub ref return self static \
    struct super trait true try type typeof unsafe unsized use virtual where while yield";

/// The arguments of `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The name of the package, and of its directory.
    name: String,
    /// The executor on which it runs.
    #[arg(long, value_enum, default_value_t)]
    executor: Executor,
    /// What it begins with.
    #[arg(long, value_enum, default_value_t)]
    template: Template,
    /// Use the packages of this checkout of Mycelium, instead of those of the registry.
    #[arg(long, value_name = "DIRECTORY")]
    path: Option<PathBuf>,
}

/// An executor that comes with Mycelium.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Executor {
    #[default]
    Tokio,
    Smol,
    /// Linux alone.
    Glommio,
}

/// What a project begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
enum Template {
    /// Three services, in one process or in three that `mycelium up` starts.
    #[default]
    Pipeline,
    /// Services with actors.
    Actors,
    /// Three services, each in a process that the program starts.
    Bundle,
}

macro_rules! file {
    ($path:literal) => {
        include_str!(concat!("../templates/", $path))
    };
}

impl Template {
    /// The files of a project, without `Cargo.toml`.
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Template::Pipeline => &[
                ("README.md", file!("pipeline/README.md")),
                ("main.toml", file!("pipeline/main.toml")),
                ("processes.toml", file!("pipeline/processes.toml")),
                ("src/lib.rs", file!("pipeline/lib.rs")),
                ("src/main.rs", file!("pipeline/main.rs")),
                ("tests/it.rs", file!("pipeline/test.rs")),
            ],
            Template::Actors => &[
                ("README.md", file!("actors/README.md")),
                ("main.toml", file!("actors/main.toml")),
                ("src/lib.rs", file!("actors/lib.rs")),
                ("src/main.rs", file!("pipeline/main.rs")),
                ("tests/it.rs", file!("actors/test.rs")),
            ],
            Template::Bundle => &[
                ("README.md", file!("bundle/README.md")),
                ("processes.toml", file!("pipeline/processes.toml")),
                ("src/lib.rs", file!("pipeline/lib.rs")),
                ("src/main.rs", file!("bundle/main.rs")),
                ("tests/it.rs", file!("pipeline/test.rs")),
            ],
        }
    }
}

impl Executor {
    fn feature(self) -> &'static str {
        match self {
            Executor::Tokio => "tokio",
            Executor::Smol => "smol",
            Executor::Glommio => "glommio",
        }
    }

    /// The imports of `main.rs` from Mycelium, and the lines that run a node.
    fn start(self) -> [&'static str; 2] {
        match self {
            Executor::Tokio => ["\nuse mycelium::{Result, Topology};\n", "    mycelium::run(node)"],
            Executor::Smol => [
                "\nuse mycelium::execution::smol;\nuse mycelium::{Result, Topology};\n",
                "    let node = node.build()?;\n    \
                 smol::run(2, |executor| node.run(executor))??;\n    Ok(())",
            ],
            Executor::Glommio => [
                "\nuse mycelium::execution::glommio::{self, Settings};\n\
                 use mycelium::{Result, Topology};\n",
                "    let node = node.build()?;\n    \
                 glommio::run(&Settings::default(), |executor| node.run(executor))??;\n    Ok(())",
            ],
        }
    }
}

/// Makes the project in a new directory, and prints what to do with it. Needs no network.
///
/// # Errors
/// If the name is invalid, the directory exists, or the files cannot be written. Then nothing is
/// left.
pub fn run(args: &NewArgs) -> Result<(), Failure> {
    let NewArgs { name, executor, template, path } = args;
    check(name)?;
    let manifest = manifest(args, path.as_deref().map(checkout).transpose()?)?;
    let [imports, start] = executor.start();
    let crate_name = name.replace('-', "_");
    let filled = |text: &str| {
        text.replace("__PROGRAM__", name)
            .replace("__NAME__", &crate_name)
            .replace("__USE__", imports)
            .replace("__RUN__", start)
    };
    let mut files = vec![("Cargo.toml", manifest), (".gitignore", "/target\n".to_owned())];
    files.extend(template.files().iter().map(|(file, text)| (*file, filled(text))));
    write(Path::new(name), &files)?;
    separate(Path::new(name))?;
    let next = match template {
        Template::Pipeline => "cargo build && mycelium up processes.toml    # three processes",
        Template::Actors => "mycelium check main.toml -- target/debug/__PROGRAM__",
        Template::Bundle => "mycelium check processes.toml",
    };
    print(&format!(
        "{name} is ready, on {}:\n  cd {name}\n  cargo run\n  cargo test\n  {}\n",
        executor.feature(),
        filled(next)
    ))
}

/// Checks the name of a package, as cargo does, and more strictly.
fn check(name: &str) -> Result<(), Failure> {
    let is_letter = |letter: char| letter.is_ascii_lowercase();
    let is_valid = name.starts_with(is_letter)
        && name.len() <= LONGEST
        && name.chars().all(|it| is_letter(it) || it.is_ascii_digit() || "-_".contains(it));
    if !is_valid {
        return Err(Failure::Usage(format!(
            "invalid name `{}`: expected a lower-case letter, and then lower-case letters, digits, \
             `-` and `_`, at most {LONGEST}",
            name.chars().take(LONGEST).collect::<String>().escape_debug()
        )));
    }
    let as_crate = name.replace('-', "_");
    let is_taken = TAKEN.split_whitespace().any(|taken| taken == as_crate);
    if is_taken || as_crate.starts_with("mycelium") {
        return Err(Failure::Usage(format!("the name `{name}` is taken: choose another one")));
    }
    Ok(())
}

/// Returns the absolute path of a checkout.
fn checkout(path: &Path) -> Result<PathBuf, Failure> {
    let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap_or_default();
    if !manifest.contains("name = \"mycelium-bus\"") {
        let path = path.display();
        return Err(Failure::Usage(format!(
            "{path} is not a checkout of Mycelium: expected its root directory"
        )));
    }
    let path = absolute(path).map_err(Failure::usage)?;
    if path.to_str().is_none() {
        return Err(Failure::Usage(format!("{} is not UTF-8", path.display())));
    }
    Ok(path)
}

/// Returns the `Cargo.toml` of the project.
fn manifest(args: &NewArgs, checkout: Option<PathBuf>) -> Result<String, Failure> {
    let NewArgs { name, executor, template, .. } = args;
    let version = env!("CARGO_PKG_VERSION");
    let source = |directory: &str| match &checkout {
        None => format!("version = \"{version}\""),
        Some(root) => {
            let path: PathBuf = root.join(directory).components().collect();
            // A text of JSON is one of TOML, too.
            format!("path = {}", serde_json::Value::from(path.to_string_lossy()))
        }
    };
    let features = match executor {
        Executor::Tokio => String::new(),
        other => format!(
            ", default-features = false, features = [\"actors\", \"describe\", \"metrics\", \
             \"signals\", \"{}\", \"topology\", \"tracing\"]",
            other.feature()
        ),
    };
    let bundle = match template {
        Template::Bundle => format!("mycelium-bus-bundle = {{ {} }}\n", source("bundle")),
        _ => String::new(),
    };
    let own = source("");
    Ok(format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         mycelium-bus = {{ {own}{features} }}\n{bundle}\n[dev-dependencies]\n\
         mycelium-bus = {{ {own}, default-features = false, features = [\"testing\"] }}\n"
    ))
}

/// Makes the project a workspace of its own, if cargo says that a directory above it has a
/// workspace without it.
fn separate(directory: &Path) -> Result<(), Failure> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut locate = Command::new(cargo);
    locate.args(["locate-project", "--workspace"]).current_dir(directory);
    // Without cargo nobody can say.
    let Ok(output) = locate.output() else { return Ok(()) };
    if String::from_utf8_lossy(&output.stderr).contains("believes it's in a workspace") {
        let manifest = OpenOptions::new().append(true).open(directory.join("Cargo.toml"));
        manifest
            .and_then(|mut manifest| manifest.write_all(b"\n[workspace]\n"))
            .map_err(Failure::usage)?;
    }
    Ok(())
}

/// Writes files to a new directory; all of them, or none.
fn write(directory: &Path, files: &[(&str, String)]) -> Result<(), Failure> {
    let failed = |path: &Path, error: io::Error| {
        let exists = [io::ErrorKind::AlreadyExists, io::ErrorKind::DirectoryNotEmpty];
        let is_there = exists.contains(&error.kind());
        let problem = if is_there { "it exists already".to_owned() } else { error.to_string() };
        Failure::Usage(format!("{}: {problem}", path.display()))
    };
    if directory.symlink_metadata().is_ok() {
        return Err(failed(directory, io::ErrorKind::AlreadyExists.into()));
    }
    let hidden = PathBuf::from(format!(".{}.{}", directory.display(), process::id()));
    fs::create_dir(&hidden).map_err(|error| failed(&hidden, error))?;
    let write = || {
        for (file, text) in files {
            let path = hidden.join(file);
            fs::create_dir_all(path.parent().unwrap_or(&hidden))?;
            fs::write(path, text)?;
        }
        // Fails if another process was faster, unless the directory is empty.
        fs::rename(&hidden, directory)
    };
    write().map_err(|error| {
        let _ = fs::remove_dir_all(&hidden);
        failed(directory, error)
    })
}
