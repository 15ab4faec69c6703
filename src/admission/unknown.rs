//! What the gate says to those who are not known yet: networks before their handshake, channels before their token. Nothing is
//! taken here, and nobody waits.

use super::rules::Known;
use super::{Accounts, Gate, reached};
use crate::authn::Caller;
use crate::cluster::Purpose;
use crate::error::{Code, Failure};
use crate::identity::{Network, PeerIdentity};

impl Gate {
    /// Whether anything that comes over this channel would be refused, whoever it is from: its last tokens were refused, or
    /// what its certificate may do is used up. Nothing is taken.
    ///
    /// # Errors
    /// [`Code::TooManyFailures`] or [`Code::RateLimited`] with the time to wait.
    pub fn listen(&self, peer: &PeerIdentity) -> Result<(), Failure> {
        let Accounts { clock, keys, sources, .. } = &*self.accounts;
        let now = clock.instant();
        sources
            .listen(peer, keys, &self.wariness, self.accounts.nanos(now))
            .map_err(|failure| reached("failures", failure))?;
        if self.rules.is_empty() {
            return Ok(());
        }
        let holder = keys.holder(peer);
        let draws = self.rules.draws(Known::Channel(peer, holder), keys);
        self.draw(&draws, holder, now, Purpose::Look)
    }

    /// What came over this channel said who it is from.
    pub fn proved(&self, caller: &Caller) {
        let Accounts { clock, keys, sources, .. } = &*self.accounts;
        let now = || self.accounts.nanos(clock.instant());
        sources.proved(caller.peer(), caller.is_fresh(), keys, &self.wariness, now);
    }

    /// It did not: it had no token, or one that was refused. Other refusals are nobody's failure.
    pub fn failed(&self, peer: &PeerIdentity, code: Code) {
        if code.http_status() == 401 {
            let Accounts { clock, keys, sources, .. } = &*self.accounts;
            sources.failed(peer, keys, &self.wariness, self.accounts.nanos(clock.instant()));
        }
    }

    /// Whether a network may shake hands.
    ///
    /// # Errors
    /// [`Code::TooManyHandshakes`] with the time to wait.
    pub fn greet(&self, from: Network) -> Result<(), Failure> {
        let Accounts { clock, keys, sources, .. } = &*self.accounts;
        sources.greet(from, keys, &self.wariness, clock.instant()).map_err(|failure| reached("strangers", failure))
    }

    /// A handshake of this network was refused.
    pub fn stumbled(&self, from: Network) {
        let Accounts { clock, keys, sources, .. } = &*self.accounts;
        sources.stumbled(from, keys, &self.wariness, clock.instant());
    }
}
