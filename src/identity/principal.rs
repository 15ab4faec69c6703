//! User via agent: the subject of a token and whoever acts for it (RFC 8693 section 4.1).

use std::fmt;

/// Who acts for the subject, and for whom that one acts in turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// The actor's own `sub`, or the client id of the token.
    pub subject: String,
    /// The prior actor in the chain; informational only (RFC 8693 section 4.1).
    pub prior: Option<Box<Self>>,
}

/// A user, and the agent that acts for this user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// The user or service: `sub`.
    pub subject: String,
    /// The agent, outermost first.
    pub actor: Option<Actor>,
}

impl Principal {
    /// The chain of agents, the current one first.
    pub fn agents(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(self.actor.as_ref(), |actor| actor.prior.as_deref()).map(|actor| actor.subject.as_str())
    }
}

/// `alice via coding-bot`
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        self.agents().try_for_each(|agent| write!(f, " via {agent}"))
    }
}
