//! A supervisor's reaction to the end of a child: its strategy, and the lifetime of the child.

use std::fmt;

/// Which children a supervisor restarts when one of them has failed.
///
/// ```
/// use mycelium::supervision::Strategy;
///
/// assert_eq!("rest-for-one".parse(), Ok(Strategy::RestForOne));
/// assert_eq!(Strategy::default(), Strategy::OneForOne);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "describe", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "describe", serde(rename_all = "kebab-case"))]
pub enum Strategy {
    /// Restarts only the child that failed.
    #[default]
    OneForOne,
    /// Restarts all children: the others are stopped, the last one first, and then all are started
    /// in order. For children that depend on each other.
    OneForAll,
    /// Restarts the child that failed and the children after it, in the same way. For children that
    /// depend on earlier children.
    RestForOne,
}

impl Strategy {
    /// All strategies.
    pub const ALL: [Strategy; 3] = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];

    /// Returns its name: `one-for-one`, `one-for-all` or `rest-for-one`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::OneForOne => "one-for-one",
            Strategy::OneForAll => "one-for-all",
            Strategy::RestForOne => "rest-for-one",
        }
    }
}

/// Whether a child is started again after its end.
///
/// | a child that | `Permanent` | `Transient` | `Temporary` |
/// | --- | --- | --- | --- |
/// | returned `Ok` | is restarted, and the return counts as a failure | has completed | has completed |
/// | failed | is restarted | is restarted | has ended |
/// | was stopped because of another child | is restarted | is restarted | has ended |
///
/// ```
/// use mycelium::supervision::Lifetime;
///
/// assert_eq!("permanent".parse(), Ok(Lifetime::Permanent));
/// assert_eq!(Lifetime::default(), Lifetime::Transient);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "describe", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "describe", serde(rename_all = "kebab-case"))]
pub enum Lifetime {
    /// The child runs until the node shuts down.
    Permanent,
    /// The child runs until it returns `Ok`.
    #[default]
    Transient,
    /// The child runs once.
    Temporary,
}

impl Lifetime {
    /// All lifetimes.
    pub const ALL: [Lifetime; 3] = [Lifetime::Permanent, Lifetime::Transient, Lifetime::Temporary];

    /// Returns its name: `permanent`, `transient` or `temporary`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Lifetime::Permanent => "permanent",
            Lifetime::Transient => "transient",
            Lifetime::Temporary => "temporary",
        }
    }
}

/// The error of a text that is not one of the names. It says what was expected.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind} `{text}`: {expected}")]
pub struct NameError {
    kind: &'static str,
    text: String,
    expected: String,
}

mycelium_core::debug_as_display!(NameError);

/// Converts an enum to and from its names.
macro_rules! named {
    ($type:ident, $kind:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<$type, NameError> {
                $type::ALL.into_iter().find(|it| it.name() == text).ok_or_else(|| {
                    let names = $type::ALL.map($type::name);
                    let expected = crate::support::names::expected_instead_of(text, &names);
                    NameError { kind: $kind, text: text.to_owned(), expected }
                })
            }
        }
    };
}

named!(Strategy, "strategy");
named!(Lifetime, "lifetime");
